/** What a journey does next. Pure: the state in, the decision out. */
import { isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import { transferError } from './errors.ts';

/** The state of a journey, as far as it decides. */
export interface JourneyView {
  readonly nowMs: number;
  readonly startedAtMs: number;
  /** The homes are being asked now. */
  readonly isSearching: boolean;
  /** When the homes last answered, undefined before the first time. */
  readonly searchedAtMs: number | undefined;
  /** DHT and trackers: not asked yet, being asked, asked. */
  readonly discovery: 'idle' | 'running' | 'done';
  readonly role: 'reader' | 'follower';
  /** Holders with a channel, or with one being opened. */
  readonly holderCount: number;
  /** Pieces are missing that no holder has and that nobody was asked for; true also while the size is unknown. */
  readonly lacksPieces: boolean;
  readonly origin: 'idle' | 'reading' | 'absent' | 'failed';
  /** When the last verified piece came. */
  readonly progressAtMs: number;
}

/** What is to be done; several things may be due at once. */
export interface JourneySteps {
  readonly search: boolean;
  readonly discover: boolean;
  readonly readOrigin: boolean;
  readonly giveUp: boolean;
}

/** While pieces are lacking, or holders few, the homes are asked again at this pace. */
const SEARCH_AGAIN_MS = 1000;
/** A follower to whom nothing comes for so long reads the origin itself. */
const FOLLOWER_PATIENCE_MS = 2500;
/** Where the origin is out of reach and peers have nothing new for so long, nothing more is to be expected. */
const HOPELESS_MS = 20_000;
/**
 * A client that has got a part is kept waiting longer: within this time a partition may heal, or the dead be noticed. Not for ever: a
 * body that ends short is resumed by its client where it ended, and where there are other hosts to ask, at those.
 */
const HOPELESS_IN_THE_MIDDLE_MS = 30_000;

export function planJourney(view: JourneyView): JourneySteps {
  const searched = view.searchedAtMs !== undefined;
  const quietMs = view.nowMs - Math.max(view.progressAtMs, view.startedAtMs);
  const isQuiet = quietMs > FOLLOWER_PATIENCE_MS;
  const isAlone = view.holderCount === 0;
  const canRead = searched && view.lacksPieces && view.origin === 'idle';
  const readOrigin = canRead && (view.role === 'reader' || (isAlone && !view.isSearching) || isQuiet);
  const searchDue = !searched || view.nowMs - view.searchedAtMs > SEARCH_AGAIN_MS;
  const search =
    !view.isSearching && searchDue && (!searched || (view.lacksPieces && view.origin !== 'reading') || isQuiet);
  const discover = view.discovery === 'idle' && searched && isAlone && !view.isSearching;
  const giveUp = !view.isSearching && isHopeless(view, quietMs);
  return { search, discover, readOrigin, giveUp };
}

/** Nothing can come from the origin, and nothing new comes or will come from peers. */
function isHopeless(view: JourneyView, quietMs: number): boolean {
  const originIsOver = view.origin === 'absent' || view.origin === 'failed';
  const isAlone = view.holderCount === 0 && view.discovery === 'done';
  const hopelessMs = view.progressAtMs > 0 ? HOPELESS_IN_THE_MIDDLE_MS : HOPELESS_MS;
  return originIsOver && (isAlone || quietMs > hopelessMs);
}

/** How a journey ends that has nowhere to go: before the first byte the origin's own word is the most useful one. */
export function givingUp(
  digest: Digest,
  origin: JourneyView['origin'],
  originError: Error | undefined,
  hasProgress: boolean,
): { outcome: 'absent' | 'failed'; error: Error } {
  if (hasProgress) {
    const message = `no peer and no origin can go on with ${digest}`;
    return { outcome: 'failed', error: transferError('ERR_TRANSFER_BROKEN', message, { cause: originError }) };
  }
  if (origin === 'absent')
    return { outcome: 'absent', error: transferError('ERR_TRANSFER_UNAVAILABLE', `nobody has ${digest}`) };
  if (isDockyardError(originError)) return { outcome: 'failed', error: originError };
  const message = `no peer and no origin can deliver ${digest}`;
  return { outcome: 'failed', error: transferError('ERR_TRANSFER_UNAVAILABLE', message, { cause: originError }) };
}

/** Nothing gathered under a false size can be right. What comes next begins with the size unknown, or as a manifest says. */
export function falseSizeError(digest: Digest, saidBytes: number, originBytes: number): Error {
  const message = `${digest} was said to have ${saidBytes} bytes, at the origin it has ${originBytes}`;
  return transferError('ERR_TRANSFER_BROKEN', message);
}
