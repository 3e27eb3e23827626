/** The question to a node to fetch blobs before they are needed, and its answer. Their form on the wire, read with suspicion on both ends. */
import { parseDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import { swarmError } from '../swarm/errors.ts';
import { asRecord } from './locate.ts';
import { isBlobSize } from './wire.ts';

/** A blob to fetch. */
export interface WantedBlob {
  readonly digest: Digest;
  /** From a manifest; undefined where it tells none. */
  readonly sizeBytes: number | undefined;
}

/** What the one who asks says. The same question again tells how it goes on, and that it is still wanted. */
export interface PreheatQuestion {
  readonly repository: Repository;
  readonly blobs: readonly WantedBlob[];
  /** False only to hear what is held. */
  readonly isWanted: boolean;
}

/** How it stands with a blob at a node. */
export interface PreheatState {
  readonly state: 'held' | 'coming' | 'absent' | 'failed';
  readonly heldBytes: number;
  /** Why it failed. */
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

/** Blobs in one question. */
export const MAX_PREHEAT_BLOBS = 256;
const MAX_MESSAGE_LENGTH = 500;
const STATES = ['held', 'coming', 'absent', 'failed'] as const;

export function formatPreheatQuestion({ repository, blobs, isWanted }: PreheatQuestion): unknown {
  return { upstream: repository.upstream, name: repository.name, blobs, isWanted };
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL, ERR_DIGEST_INVALID */
export function parsePreheatQuestion(value: unknown): PreheatQuestion {
  const { upstream, name, blobs, isWanted } = asRecord(value);
  if (typeof upstream !== 'string' || upstream.length > 255 || typeof name !== 'string' || !isRepositoryName(name)) {
    throw swarmError('ERR_LINK_PROTOCOL', 'a question to preheat does not name a repository');
  }
  if (!Array.isArray(blobs) || blobs.length > MAX_PREHEAT_BLOBS) {
    throw swarmError('ERR_LINK_PROTOCOL', `a question to preheat names more than ${MAX_PREHEAT_BLOBS} blobs, or none`);
  }
  const wanted = blobs.map((blob: unknown): WantedBlob => {
    const { digest, sizeBytes } = asRecord(blob);
    return {
      digest: parseDigest(typeof digest === 'string' ? digest : ''),
      sizeBytes: isBlobSize(sizeBytes) ? sizeBytes : undefined,
    };
  });
  return { repository: { upstream, name }, blobs: wanted, isWanted: isWanted === true };
}

/** @param count of the blobs that were asked about. @throws {DockyardError} ERR_LINK_PROTOCOL */
export function parsePreheatAnswer(value: unknown, count: number): PreheatState[] {
  const { blobs } = asRecord(value);
  if (!Array.isArray(blobs) || blobs.length !== count) {
    throw swarmError('ERR_LINK_PROTOCOL', 'an answer about preheating is of other blobs');
  }
  return blobs.map((blob: unknown): PreheatState => {
    const { state: stateText, heldBytes, code, message } = asRecord(blob);
    const state = STATES.find((known) => known === stateText);
    if (state === undefined) throw swarmError('ERR_LINK_PROTOCOL', 'an answer about preheating makes no sense');
    return {
      state,
      heldBytes: isBlobSize(heldBytes) ? heldBytes : 0,
      ...(typeof code === 'string' && /^ERR_[A-Z_]{1,60}$/.test(code) ? { code } : {}),
      ...(typeof message === 'string' ? { message: message.slice(0, MAX_MESSAGE_LENGTH) } : {}),
    };
  });
}
