/** What happens in the repositories of a seed, for those who want to be told: the port of notifications. */
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';
import type { FacadeContext } from './facade-state.ts';

/** One thing that happened, after it happened. */
export interface RegistryEvent {
  readonly action: 'push' | 'pull' | 'mount' | 'delete';
  readonly repository: RepositoryName;
  /** Where a mounted blob was seen before. */
  readonly fromRepository?: RepositoryName | undefined;
  /** Absent where a tag alone was deleted. */
  readonly digest?: Digest | undefined;
  readonly tag?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly request: {
    readonly id: string;
    readonly clientAddress: string | undefined;
    readonly host: string | undefined;
    readonly method: string;
    readonly userAgent: string | undefined;
  };
}

/** Who wants to be told. */
export interface RegistryListener {
  /**
   * Called before the client is answered, which waits for it: so an event can be made durable before the push that it tells
   * of is acknowledged. A failure is logged, and changes nothing for the client.
   */
  onEvent(event: RegistryEvent): Promise<void>;
}

/** The part of an event that the request tells. */
export function requestOf(ctx: FacadeContext): RegistryEvent['request'] {
  const { headers, socket } = ctx.req;
  return {
    id: ctx.state.requestId,
    clientAddress: socket.remoteAddress,
    host: headers.host,
    method: ctx.method,
    userAgent: headers['user-agent'],
  };
}
