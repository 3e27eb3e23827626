/** The origin as a source of one journey: its reader, tied to what is being gathered. */
import type { PieceGeometry } from '../content/geometry.ts';
import type { Gathering } from './gathering.ts';
import { ORIGIN_KEY, type JourneyDeps, type JourneyPurpose } from './journey-types.ts';
import type { OriginPiece } from './origin-feed.ts';
import { OriginReader } from './origin-reader.ts';
import type { OriginSharing } from './origin-sharing.ts';

/** What the journey supplies. */
export interface OriginSourceHooks {
  readonly signal: AbortSignal;
  /** What is being gathered; undefined while the length is unknown, and when the journey is over. */
  readonly gathering: () => Gathering | undefined;
  readonly sharing: () => OriginSharing;
  readonly onSize: (sizeBytes: number) => Promise<PieceGeometry>;
  readonly onPiece: (cut: OriginPiece) => Promise<void>;
  readonly onChange: () => void;
}

/** Makes the reader; it begins when it is told to. */
export function createOriginReader(deps: JourneyDeps, purpose: JourneyPurpose, hooks: OriginSourceHooks): OriginReader {
  const { memory, origin, downloadRate } = deps;
  const { repository, digest } = purpose;
  const { signal, gathering, sharing, onSize, onPiece, onChange } = hooks;
  return new OriginReader({
    memory,
    origin,
    repository,
    digest,
    signal,
    knownGeometry: async () => {
      const { sizeBytes } = purpose;
      return gathering()?.geometry ?? (sizeBytes === undefined ? undefined : await onSize(sizeBytes));
    },
    onSize,
    onChange,
    nextRun: () => gathering()?.nextOriginRun(),
    claim: (piece) => gathering()?.claimForOrigin(piece) === true,
    release: (piece) => gathering()?.scheduler.release(ORIGIN_KEY, piece),
    onPiece: async (cut) => {
      await downloadRate.acquire(cut.bytes.length, { signal });
      await onPiece(cut);
    },
    onBatch: (first, hashes) => sharing().onBatch(first, hashes),
  });
}
