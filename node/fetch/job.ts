/** One call of `dockyard fetch`: what is to be done, and what came of it. */
import { pino, type Logger } from 'pino';
import type { HostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import type { TrustFlags } from './aci-trust.ts';
import type { FetchPlace, FetchResult } from './fetch-named.ts';
import type { FetchProgress } from './progress.ts';
import type { Wanted } from './what.ts';

/** The flags of the command that say what to fetch, and how. */
export interface FetchFlags extends TrustFlags {
  readonly from?: string;
  readonly platform?: string;
  readonly p2p?: boolean;
  readonly node?: string;
  readonly peer?: readonly string[];
  /** Milliseconds; 0 is never. */
  readonly timeout: number;
  readonly seed?: boolean;
  readonly as?: 'image' | 'app';
  readonly insecure?: boolean;
}

/** What is to be done. */
export interface FetchJob {
  readonly wanted: Wanted;
  /** As it was asked for. */
  readonly text: string;
  readonly config: NodeConfig;
  /** Where to listen for torrent clients, where that was said. */
  readonly torrentListen: HostPort | undefined;
  readonly flags: FetchFlags;
  readonly place: FetchPlace;
  readonly progress: FetchProgress;
  readonly workingDirectory: string;
}

/** What was fetched; closed by the caller. */
export interface FetchedJob extends AsyncDisposable {
  readonly result: FetchResult;
  /** Updates the progress while it is seeded; absent where nothing can be. */
  readonly count?: (() => void) | undefined;
}

/** How it can be ended. */
export interface JobOptions {
  readonly signal: AbortSignal;
}

/** What needs nothing more once it was fetched. */
export function finished(result: FetchResult): FetchedJob {
  return { result, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** A log that is not read: what goes wrong is told once, as the error of the command. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
