/** The question to a peer that takes part in a blob: to read a run of its pieces from the origin, for all. */
import { parseDigest, type Digest } from '../oci/digest.ts';
import { swarmError } from '../swarm/errors.ts';
import { asRecord } from './locate.ts';
import type { MissingRun } from './origin-reader.ts';

/** What is asked. */
export interface LendQuestion {
  readonly digest: Digest;
  readonly run: MissingRun;
}

export function formatLendQuestion(digest: Digest, run: MissingRun): unknown {
  return { digest, first: run.first, count: run.count };
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL, ERR_DIGEST_INVALID */
export function parseLendQuestion(value: unknown): LendQuestion {
  const { digest, first, count } = asRecord(value);
  if (!isCount(first) || !isCount(count) || count === 0) {
    throw swarmError('ERR_LINK_PROTOCOL', 'a run of pieces is named that makes no sense');
  }
  return { digest: parseDigest(typeof digest === 'string' ? digest : ''), run: { first, count } };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && typeof value === 'number' && value >= 0;
}
