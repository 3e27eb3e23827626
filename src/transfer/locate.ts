/**
 * The question to a home: who takes part in this blob? Its form on the wire, read with suspicion on both ends.
 */
import { parseDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName } from '../oci/name.ts';
import type { Repository } from '../oci/repository.ts';
import type { PeerId, SocketAddress } from '../swarm/member.ts';
import { swarmError } from '../swarm/errors.ts';
import { isBlobSize } from './wire.ts';

/** What the one who asks says. */
export interface LocateQuestion {
  readonly digest: Digest;
  readonly repository: Repository;
  /** From a manifest; undefined when unknown. */
  readonly sizeBytes: number | undefined;
  /** The one who asks reads the origin itself, or has read it: the home need not begin. */
  readonly isReading: boolean;
}

/** A node that can be asked for pieces. */
export interface HolderAddress {
  readonly peerId: PeerId;
  readonly addresses: readonly SocketAddress[];
}

/** What the home answers; the bytes of a small blob come beside it. */
export interface LocateAnswer {
  readonly sizeBytes: number | undefined;
  readonly holders: readonly HolderAddress[];
  /** The bytes beside the answer are the blob. */
  readonly inline: boolean;
  /** A small blob is being fetched for whoever asks: to be asked again at once. */
  readonly isComing: boolean;
  /** The home takes part, but has enough peers: it names others, to whom its pieces come. */
  readonly isCrowded: boolean;
}

const MAX_HOLDERS = 64;
const MAX_ADDRESSES = 8;

export function formatLocateQuestion(question: LocateQuestion): unknown {
  const { digest, repository, sizeBytes, isReading } = question;
  return { digest, upstream: repository.upstream, name: repository.name, sizeBytes, isReading };
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL, ERR_DIGEST_INVALID */
export function parseLocateQuestion(value: unknown): LocateQuestion {
  const { digest, upstream, name, sizeBytes, isReading } = asRecord(value);
  if (typeof upstream !== 'string' || upstream.length > 255 || typeof name !== 'string' || !isRepositoryName(name)) {
    throw swarmError('ERR_LINK_PROTOCOL', 'a question for holders does not name a repository');
  }
  return {
    digest: parseDigest(typeof digest === 'string' ? digest : ''),
    repository: { upstream, name },
    sizeBytes: asSize(sizeBytes),
    isReading: isReading === true,
  };
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function parseLocateAnswer(value: unknown): LocateAnswer {
  const { sizeBytes, holders, inline, isComing, isCrowded } = asRecord(value);
  const parsed = Array.isArray(holders) ? holders.slice(0, MAX_HOLDERS).map(parseHolder) : [];
  return {
    sizeBytes: asSize(sizeBytes),
    holders: parsed,
    inline: inline === true,
    isComing: isComing === true,
    isCrowded: isCrowded === true,
  };
}

function parseHolder(value: unknown): HolderAddress {
  const { peerId, addresses } = asRecord(value);
  if (typeof peerId !== 'string' || peerId.length > 128 || !Array.isArray(addresses)) {
    throw swarmError('ERR_LINK_PROTOCOL', 'an answer names a holder that makes no sense');
  }
  return { peerId, addresses: addresses.slice(0, MAX_ADDRESSES).map(parseAddress) };
}

function parseAddress(value: unknown): SocketAddress {
  const { host, port } = asRecord(value);
  if (typeof host !== 'string' || host.length > 255 || typeof port !== 'number' || !(port > 0 && port < 65536)) {
    throw swarmError('ERR_LINK_PROTOCOL', 'an answer names an address that makes no sense');
  }
  return { host, port };
}

function asSize(value: unknown): number | undefined {
  return isBlobSize(value) ? value : undefined;
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL when it is no object */
export function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw swarmError('ERR_LINK_PROTOCOL', 'a message is not of its form');
}
