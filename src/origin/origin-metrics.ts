/** What is counted of the traffic with upstreams. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** What a request is for; also the unit in which an upstream's call for rest is heeded. */
export type RequestKind = 'tag' | 'manifest' | 'blob' | 'blob_stat' | 'list' | 'token' | 'push';

/** How one request on the wire ended. */
export type RequestOutcome =
  | 'ok'
  | 'absent'
  | 'challenged'
  | 'denied'
  | 'rate_limited'
  | 'failed'
  | 'bad_answer'
  | 'unreachable'
  | 'stalled'
  | 'aborted';

export class OriginMetrics {
  readonly #requests: Counter<'upstream' | 'kind' | 'outcome'>;
  readonly #bytes: Counter<'upstream'>;
  readonly #retries: Counter<'upstream' | 'kind'>;
  readonly #breakerOpen: Gauge<'upstream'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: 'dockyard_origin_requests_total',
      help: 'Requests sent to upstream registries, redirects included in their first request, by what came of them.',
      labelNames: ['upstream', 'kind', 'outcome'],
      registers,
    });
    this.#bytes = new Counter({
      name: 'dockyard_origin_bytes_total',
      help: 'Bytes of blobs and manifests received from upstream registries.',
      labelNames: ['upstream'],
      registers,
    });
    this.#retries = new Counter({
      name: 'dockyard_origin_retries_total',
      help: 'Requests repeated after a failure, and blobs resumed after a break.',
      labelNames: ['upstream', 'kind'],
      registers,
    });
    this.#breakerOpen = new Gauge({
      name: 'dockyard_origin_breaker_open',
      help: '1 while an upstream registry is not asked because it has answered nobody for a while, else 0.',
      labelNames: ['upstream'],
      registers,
    });
  }

  request(upstream: string, kind: RequestKind, outcome: RequestOutcome): void {
    this.#requests.inc({ upstream, kind, outcome });
  }

  received(upstream: string, sizeBytes: number): void {
    this.#bytes.inc({ upstream }, sizeBytes);
  }

  retried(upstream: string, kind: RequestKind): void {
    this.#retries.inc({ upstream, kind });
  }

  breaker(upstream: string, isOpen: boolean): void {
    this.#breakerOpen.set({ upstream }, isOpen ? 1 : 0);
  }

  /** Ends the gauge of an upstream that is no longer configured; counters stay, as Prometheus wants them. */
  forget(upstream: string): void {
    this.#breakerOpen.remove({ upstream });
  }
}
