/** What the parts of the facade share: what it is made of, and what is known of one request. */
import type Koa from 'koa';
import type { Logger } from 'pino';
import type { Repository } from '../oci/repository.ts';
import type { DistributionPath } from './distribution-path.ts';
import type { FacadeMetrics } from './facade-metrics.ts';
import type { BodyPace } from './request-body.ts';
import type { BlobService, ListService, ManifestService, RequestContext } from './ports.ts';

/** The name of the paths of another room, in metrics and logs. */
export type SideRouteName = 'appc' | 'changes';

/** The name of a route in metrics and logs. */
export type RouteName = DistributionPath['kind'] | SideRouteName | 'torrent' | 'other';

/** Facts of one request, kept in `ctx.state`. */
export interface FacadeState {
  requestId: string;
  route: RouteName;
  repository: Repository | undefined;
  /** Aborts when the client leaves, or the node ends the request. */
  signal: AbortSignal;
  /** Body bytes of a blob that the system took; absent for other bodies. */
  sentBytes: number | undefined;
  /** Why the request failed, before or after its first byte. Logged once, at its end. */
  failure: unknown;
  isShort: boolean;
}

/** A Koa context of the facade. */
export type FacadeContext = Koa.ParameterizedContext<FacadeState>;

/** Time for durations, in milliseconds from any origin, never going back. */
export interface MonotonicClock {
  nowMs(): number;
}

/** Collaborators of the route handlers. */
export interface HandlerDeps {
  readonly blobs: BlobService;
  readonly manifests: ManifestService;
  readonly lists: ListService;
  readonly log: Logger;
  readonly metrics: FacadeMetrics;
}

/** Settings of the route handlers. */
export interface HandlerConfig {
  /** How long a client whose body was ended short has to close its side, before the socket is destroyed. */
  readonly lingerTimeoutMs: number;
  /** How fast a client has to send a body. */
  readonly pace: BodyPace;
}

/** A request to one route, its upstream found and its path read. */
export interface RoutedRequest<Path extends DistributionPath = DistributionPath> {
  readonly path: Path;
  readonly context: RequestContext;
  /** The path as the client sent it. */
  readonly rawPath: string;
  /** The query as the client sent it, without `ns`. */
  readonly search: string;
  readonly namespace: string | undefined;
}

/** The path of one kind. */
export type PathOf<Kind extends DistributionPath['kind']> = Extract<DistributionPath, { kind: Kind }>;
