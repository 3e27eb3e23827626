/**
 * Paths beside those of the distribution specification, which another room answers. It says what is to be sent; how bodies
 * are read and sent, with ranges and at the pace of the client, is the same for all.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { registryError } from './errors.ts';
import type { FacadeContext, HandlerConfig, HandlerDeps, SideRouteName } from './facade-state.ts';
import { matchesIfNoneMatch } from './entity-tag.ts';
import { leaveBody } from './middleware/error-response.ts';
import type { BlobReading } from './ports.ts';
import { requestOf as requestFacts, type RegistryEvent, type RegistryListener } from './registry-events.ts';
import { ReadingSender } from './reading-sender.ts';
import { RequestBody } from './request-body.ts';

/** What a room is told of a request. */
export interface SideRequest {
  readonly method: string;
  /** As it was sent, escaped, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Where the connection comes from. */
  readonly clientAddress: string;
  readonly signal: AbortSignal;
  /** The body, as it comes; to be read once, or not at all. @throws {DockyardError} ERR_BODY_SLOW */
  body(): AsyncIterable<Uint8Array>;
  /** All of a small body. @throws {DockyardError} ERR_BODY_TOO_LARGE, ERR_BODY_SLOW */
  wholeBody(limitBytes: number): Promise<Buffer>;
}

/** What happened in a repository of this seed. */
export type SideEvent = Omit<RegistryEvent, 'request'>;

/** What is sent. */
export type SideAnswer =
  | {
      readonly kind: 'document';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
      /** What has happened, for those who want to be told before the client is. */
      readonly event?: SideEvent | undefined;
    }
  | {
      /** Content with a strong entity tag; ranges and conditions are seen to here, and that it is closed. */
      readonly kind: 'content';
      readonly tag: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly sizeBytes: number;
      /** Told when it was sent. */
      readonly event?: SideEvent | undefined;
      open(): Promise<BlobReading>;
    };

/** A room with paths of its own. */
export interface SideDoor {
  readonly route: SideRouteName;
  /** `undefined` for a path that is none of its own. */
  answer(request: SideRequest): Promise<SideAnswer | undefined>;
}

export interface SideDoorsDeps extends Pick<HandlerDeps, 'log' | 'metrics'> {
  readonly doors: readonly SideDoor[];
  /** Told what happens behind the doors. */
  readonly listener?: RegistryListener | undefined;
}

/** The middleware before the registry's own routes. */
export function sideDoors(deps: SideDoorsDeps, config: HandlerConfig) {
  const { doors } = deps;
  const sender = new ReadingSender(deps, config);
  return async (ctx: FacadeContext, next: () => Promise<unknown>): Promise<void> => {
    const request = requestOf(ctx, config);
    for (const door of request === undefined ? [] : doors) {
      const answer = request === undefined ? undefined : await entered(door, ctx, request);
      if (answer !== undefined) return await send(ctx, answer, { ...deps, sender });
    }
    await next();
  };
}

/** A failure belongs to the route of the door that it comes from. */
async function entered(door: SideDoor, ctx: FacadeContext, request: SideRequest): Promise<SideAnswer | undefined> {
  ctx.state.route = door.route;
  const answer = await door.answer(request);
  if (answer === undefined) ctx.state.route = 'other';
  return answer;
}

/** `undefined` for a target that is no plain path; the registry says what is wrong with it. */
function requestOf(ctx: FacadeContext, { pace }: HandlerConfig): SideRequest | undefined {
  const target = ctx.req.url ?? '';
  if (!/^\/[!-~]*$/.test(target)) return undefined;
  const question = target.indexOf('?');
  const body = new RequestBody(ctx.req, ctx.res, pace);
  return {
    method: ctx.method,
    path: question === -1 ? target : target.slice(0, question),
    query: new URLSearchParams(question === -1 ? '' : target.slice(question + 1)),
    headers: ctx.req.headers,
    clientAddress: ctx.req.socket.remoteAddress ?? '',
    signal: ctx.state.signal,
    body: () => body.chunks(),
    wholeBody: async (limitBytes) => await body.whole(limitBytes),
  };
}

async function send(
  ctx: FacadeContext,
  answer: SideAnswer,
  deps: SideDoorsDeps & { readonly sender: ReadingSender },
): Promise<void> {
  if (answer.kind === 'document') {
    await tell(ctx, answer.event, deps);
    leaveBody(ctx, answer.status);
    ctx.status = answer.status;
    ctx.set({ ...answer.headers });
    ctx.body = answer.body;
    return;
  }
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD')
    throw registryError('ERR_METHOD_UNSUPPORTED', 'content is fetched with GET');
  const { headers, sizeBytes, tag } = answer;
  const lasting = { ...headers, ETag: tag };
  if (matchesIfNoneMatch(ctx.req.headers['if-none-match'], tag)) {
    ctx.status = 304;
    ctx.set(lasting);
    return;
  }
  const headersFor = (lengthBytes: number): Record<string, string> => ({
    ...lasting,
    'Content-Length': String(lengthBytes),
    'Accept-Ranges': 'bytes',
  });
  if (ctx.method === 'HEAD') {
    ctx.status = 200;
    ctx.set(headersFor(sizeBytes));
    return;
  }
  await deps.sender.send(ctx, await answer.open(), { signal: ctx.state.signal, tag, headersFor });
  if (!ctx.state.isShort) await tell(ctx, answer.event, deps);
}

async function tell(
  ctx: FacadeContext,
  event: SideEvent | undefined,
  { listener, log }: Pick<SideDoorsDeps, 'listener' | 'log'>,
): Promise<void> {
  if (event === undefined) return;
  try {
    await listener?.onEvent({ ...event, request: requestFacts(ctx) });
  } catch (error) {
    log.error({ err: error, action: event.action, repository: event.repository }, 'event could not be told');
  }
}
