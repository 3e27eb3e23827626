/** The tracker alone in a process: `tracker/main.ts [--listen HOST:PORT]`. Ends on SIGINT and SIGTERM. */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { parseSocketAddress } from '../src/swarm/socket-address.ts';
import { openTracker, TRACKER_DEFAULTS } from './tracker.ts';

const { values } = parseArgs({ options: { listen: { type: 'string', default: '0.0.0.0:6969' } } });
const metrics = new Registry();
collectDefaultMetrics({ register: metrics });
const log = pino({ base: { component: 'tracker' } });
await using tracker = await openTracker(
  { log, metrics },
  { listen: parseSocketAddress(values.listen), ...TRACKER_DEFAULTS },
);
const [signal] = (await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])) as [string];
log.info({ signal, ...tracker.stats() }, 'tracker stopping');
