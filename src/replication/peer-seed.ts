/** Another seed, as replication sees it; the origin client and the transfer layer are behind it. */
import type { Change } from '../catalog/changes.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/name.ts';

/** A part of the changes of a seed, in its order. */
export interface PeerChanges {
  /** Names the catalog that counts them: another one counts anew. */
  readonly log: string;
  /** Names what it is since its last start; empty where the seed tells none. */
  readonly chapter: string;
  readonly upTo: number;
  readonly changes: readonly Change[];
}

/** Which changes are asked for. */
export interface ChangesQuestion {
  readonly after: number;
  /** In which chapter `after` was read; empty where it is not known. */
  readonly chapter: string;
  readonly limit: number;
  /** How long to wait for the first when there are none. */
  readonly waitMs: number;
}

interface Options {
  readonly signal: AbortSignal;
}

/** All methods throw {DockyardError} when the seed cannot be asked; a signal's reason passes through. */
export interface PeerSeed {
  /** By which name it is configured. */
  readonly name: string;
  /** @throws {DockyardError} ERR_REPLICATION_NOT_A_SEED, ERR_REPLICATION_ANSWER as well */
  changes(question: ChangesQuestion, options: Options): Promise<PeerChanges>;
  /** A manifest of one of its repositories, its digest checked; `undefined` when it has it no more. */
  manifest(
    repository: RepositoryName,
    digest: Digest,
    options: Options,
  ): Promise<{ readonly bytes: Buffer; readonly mediaType: string } | undefined>;
  /** Puts a blob into storage of record, from whoever in the swarm has it or from that seed; false when nobody has. */
  bringBlob(repository: RepositoryName, digest: Digest, options: Options): Promise<boolean>;
}
