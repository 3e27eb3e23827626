/** Bytes of blobs that this node gave away, to whom. Counted by the facade (`client`) and by the exchange (`peer`). */
import { Counter, type Registry } from 'prom-client';

const NAME = 'dockyard_served_bytes_total';

/** The one counter of a registry. */
export function servedBytesCounter(registry: Registry): Counter<'to'> {
  const known = registry.getSingleMetric(NAME);
  if (known instanceof Counter) return known;
  const counter = new Counter({
    name: NAME,
    help: 'Bytes of blobs that this node sent, to clients and to peers.',
    labelNames: ['to'],
    registers: [registry],
  });
  for (const to of ['client', 'peer']) counter.inc({ to }, 0);
  return counter;
}
