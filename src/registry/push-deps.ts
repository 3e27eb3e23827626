/** What the handlers of pushes and deletions share. */
import type { FacadeContext } from './facade-state.ts';
import type { HostedRegistry } from './hosted-ports.ts';
import type { RegistryEvent } from './registry-events.ts';
import type { BodyPace } from './request-body.ts';

export interface PushDeps {
  readonly hosted: HostedRegistry;
  readonly pace: BodyPace;
  /** Tells whoever listens; never throws. */
  readonly tell: (ctx: FacadeContext, event: Omit<RegistryEvent, 'request'>) => Promise<void>;
}

/** An answer whose body is empty; Koa would write the words of the status. */
export function answerEmpty(ctx: FacadeContext, status: number): void {
  ctx.status = status;
  if (status === 204) return;
  ctx.body = Buffer.alloc(0);
  ctx.remove('Content-Type');
}
