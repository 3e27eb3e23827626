/** One probe of one member: directly, and through others when it does not answer at once. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { TimeLimit } from '../oci/time-limit.ts';
import type { PeerId } from './member.ts';
import type { ExchangeTarget } from './membership-exchange.ts';

/** How a member was found to live, or that it was not. */
export type ProbeOutcome = 'direct' | 'indirect' | 'failed';

/** What a probe needs of the exchanges. */
export interface Prober {
  probe(target: ExchangeTarget, options: { signal: AbortSignal }): Promise<void>;
  probeThrough(helper: ExchangeTarget, target: PeerId, options: { signal: AbortSignal }): Promise<boolean>;
}

/**
 * Probes a member. After `timeoutMs` without an answer, or a failure, the helpers are asked to probe it too; after as long
 * again all have failed. Never throws: what went wrong is logged.
 */
export async function probeMember(
  deps: { readonly exchange: Prober; readonly log: Logger },
  target: ExchangeTarget,
  helpers: readonly ExchangeTarget[],
  timeoutMs: number,
  ending: AbortSignal,
): Promise<ProbeOutcome> {
  const done = new AbortController();
  using limit = new TimeLimit(2 * timeoutMs, ending);
  const signal = AbortSignal.any([limit.signal, done.signal]);
  const note = (error: unknown): false => {
    if (!done.signal.aborted && !ending.aborted) deps.log.debug({ peer: target.peerId, err: error }, 'probe failed');
    return false;
  };
  try {
    const direct = deps.exchange.probe(target, { signal }).then(() => true, note);
    const late = delay(timeoutMs, false, { signal, ref: false }).catch(() => false);
    if (await Promise.race([direct, late])) return 'direct';
    const asked = helpers.map((helper) => deps.exchange.probeThrough(helper, target.peerId, { signal }).catch(note));
    return await firstOf([
      direct.then((reached) => reached && 'direct'),
      ...asked.map((one) => one.then((reached) => reached && 'indirect')),
    ]);
  } finally {
    done.abort();
  }
}

/** The first that is not false; 'failed' when all are. */
async function firstOf(attempts: Promise<false | 'direct' | 'indirect'>[]): Promise<ProbeOutcome> {
  const found = attempts.map(async (attempt) => {
    const outcome = await attempt;
    if (outcome === false) throw new Error('not reached');
    return outcome;
  });
  return await Promise.any(found).catch(() => 'failed' as const);
}
