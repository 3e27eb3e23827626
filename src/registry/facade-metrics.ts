/** The metrics of the facade. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { servedBytesCounter } from '../transfer/served-bytes.ts';

/** Durations that tell a held manifest from a layer that crosses a slow link, in seconds. */
const DURATION_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** What the facade counts. */
export interface FacadeMetrics {
  readonly requests: Counter<'route' | 'method' | 'status'>;
  readonly durations: Histogram<'route' | 'method'>;
  readonly inFlight: Gauge;
  readonly shortBodies: Counter;
  /** Adds to `dockyard_served_bytes_total{to="client"}`. */
  readonly countServedBytes: (sizeBytes: number) => void;
}

/** Declares the metrics, once for a registry. */
export function createFacadeMetrics(registry: Registry): FacadeMetrics {
  const registers = [registry];
  const toClient = servedBytesCounter(registry).labels({ to: 'client' });
  return {
    requests: new Counter({
      name: 'dockyard_http_requests_total',
      help: 'Requests to the facade. The status is 499 when the client left before an answer.',
      labelNames: ['route', 'method', 'status'],
      registers,
    }),
    durations: new Histogram({
      name: 'dockyard_http_request_duration_seconds',
      help: 'Time from the head of a request to the end of its body.',
      labelNames: ['route', 'method'],
      buckets: DURATION_BUCKETS_SECONDS,
      registers,
    }),
    inFlight: new Gauge({ name: 'dockyard_http_requests_in_flight', help: 'Requests being answered.', registers }),
    shortBodies: new Counter({
      name: 'dockyard_http_short_bodies_total',
      help: 'Blob bodies that were ended short, because no source could go on.',
      registers,
    }),
    countServedBytes: (sizeBytes) => {
      toClient.inc(sizeBytes);
    },
  };
}
