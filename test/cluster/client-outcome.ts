/** What may come of a client's read while things fail: the right bytes, or an error that says so. */
import { expect } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { tellFigures } from './figures.ts';
import type { WatchedOutcome, WatchedRead } from './watched-read.ts';

/** The longest that a client may wait for the next byte because of one fault. */
export const MAX_SILENCE_MS = 3_000;

/** Exit codes of curl. */
const CURL = { endedShort: 18, refused: 22 } as const;

/** A blob of the registry. */
export interface ChaosBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** @throws {Error} when a client did not get the blob */
export function expectDelivered({ exitCode, sha256, said }: WatchedOutcome, { digest }: ChaosBlob): void {
  if (exitCode !== 0 || sha256 !== digest) throw new Error(`${digest} did not come (${exitCode}, ${sha256}): ${said}`);
}

/** Waits for all clients; each gets the blob, and none waits longer than it may. */
export async function expectAllDelivered(
  reads: readonly WatchedRead[],
  blob: ChaosBlob,
  maxSilenceMs = MAX_SILENCE_MS,
): Promise<void> {
  const outcomes = await Promise.all(reads.map(async (read) => await read.outcome()));
  for (const outcome of outcomes) expectDelivered(outcome, blob);
  tellFigures(outcomes);
  expect(Math.max(...outcomes.map(({ longestSilenceMs }) => longestSilenceMs))).toBeLessThan(maxSilenceMs);
}

/** @throws {Error} when a client got neither the blob, nor a part of it that ended short, nor a refusal that says so */
export function expectRightOrClear(outcome: WatchedOutcome, blob: ChaosBlob): void {
  const { exitCode, sizeBytes, sha256, said } = outcome;
  if (exitCode === 0) {
    expectDelivered(outcome, blob);
    return;
  }
  const isPart = sizeBytes < blob.bytes.length && digestOf(blob.bytes.subarray(0, sizeBytes)) === sha256;
  const isRefusal = exitCode === CURL.refused && sizeBytes === 0 && /error: (404|502|503)$/m.test(said);
  if (isRefusal || (exitCode === CURL.endedShort && isPart)) return;
  throw new Error(`${blob.digest}: curl ended with ${exitCode} after ${sizeBytes} bytes: ${said}`);
}

/** @throws {Error} when a client was not told this status, or one of these, in place of a body */
export function expectTold({ exitCode, said }: WatchedOutcome, ...statuses: readonly number[]): void {
  if (exitCode !== CURL.refused || !statuses.some((status) => said.includes(`error: ${status}`)))
    throw new Error(`curl ended with ${exitCode}, not with status ${statuses.join(' or ')}: ${said}`);
}
