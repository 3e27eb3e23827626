/** Statements about members, and which of two outweighs the other. */
import type { SignedRecord } from './members-record.ts';

/** What is believed of a member. `left` is said by the member itself; `suspect` and `dead` by others. */
export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';

/** States in the order in which one outweighs another within an incarnation. */
export const MEMBER_STATES = ['alive', 'suspect', 'dead', 'left'] as const satisfies readonly MemberState[];

/** A statement about a member, as it travels. */
export interface MemberUpdate {
  readonly signed: SignedRecord;
  readonly state: MemberState;
}

/** Negative when `a` is outweighed by `b`, zero when both say the same. A total order, so that merging is a maximum. */
export function compareUpdates(a: MemberUpdate, b: MemberUpdate): number {
  const byIncarnation = a.signed.record.incarnation - b.signed.record.incarnation;
  if (byIncarnation !== 0) return byIncarnation;
  const byState = MEMBER_STATES.indexOf(a.state) - MEMBER_STATES.indexOf(b.state);
  if (byState !== 0) return byState;
  return a.signed === b.signed ? 0 : Buffer.compare(a.signed.body, b.signed.body);
}

/** True for a member that takes part, suspected or not. */
export function isLive(update: MemberUpdate): boolean {
  return update.state === 'alive' || update.state === 'suspect';
}
