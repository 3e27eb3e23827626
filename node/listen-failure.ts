/** Why an address cannot be listened on, and which flag chooses another: the same words for every port of a node. */
import type { DockyardError } from '../src/oci/error.ts';
import { swarmError } from '../src/swarm/errors.ts';
import { torrentError } from '../src/torrent/errors.ts';
import { trackerError } from '../tracker/errors.ts';
import { formatHostPort, type HostPort } from './config/address.ts';
import { nodeError } from './errors.ts';

/** What an address is listened on for. */
export type ListenPurpose = 'registry' | 'admin' | 'swarm' | 'data' | 'tracker' | 'trackerPage' | 'torrent';

type Failure = (message: string, options: { cause: unknown }) => DockyardError;

const onNode: Failure = (message, options) => nodeError('ERR_LISTEN_FAILED', message, options);
const onSwarm: Failure = (message, options) => swarmError('ERR_SWARM_LISTEN', message, options);
const onTracker: Failure = (message, options) => trackerError('ERR_TRACKER_LISTEN', message, options);
const onTorrent: Failure = (message, options) => torrentError('ERR_TORRENT_LISTEN', message, options);

const PURPOSES: Readonly<
  Record<ListenPurpose, { readonly purpose: string; readonly flag: string; readonly fail: Failure }>
> = {
  registry: { purpose: 'for clients', flag: '--listen HOST:PORT', fail: onNode },
  admin: { purpose: 'for the admin server', flag: '--admin HOST:PORT', fail: onNode },
  swarm: { purpose: 'for the swarm', flag: '--swarm HOST:PORT', fail: onSwarm },
  data: { purpose: 'for pieces between nodes', flag: '--swarm-data HOST:PORT', fail: onSwarm },
  tracker: { purpose: 'for the tracker', flag: '--listen HOST:PORT', fail: onTracker },
  trackerPage: { purpose: 'for the page of the tracker', flag: '--admin HOST:PORT', fail: onTracker },
  torrent: { purpose: 'for torrent clients', flag: '--torrent HOST:PORT', fail: onTorrent },
};

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EACCES: 'this user may not; ports below 1024 need root or CAP_NET_BIND_SERVICE',
  EPERM: 'this user may not',
  EADDRNOTAVAIL: 'no interface of this machine has the address',
  EAFNOSUPPORT: 'this machine does not have that family of addresses (IPv6?)',
  EINVAL: 'this machine does not have that family of addresses (IPv6?)',
  ENOTFOUND: 'the name cannot be resolved',
  EAI_AGAIN: 'the name cannot be resolved',
};

/** The error for an address that could not be listened on; `cause` is that of the system, or holds it somewhere inside. */
export function listenFailure(purpose: ListenPurpose, address: HostPort, cause: unknown): DockyardError {
  const { purpose: what, flag, fail } = PURPOSES[purpose];
  const code = systemCodeIn(cause);
  const why = code === undefined ? messageOf(cause) : (REASONS[code] ?? messageOf(cause));
  const named = code === undefined || why.includes(code) ? why : `${code}, ${why}`;
  return fail(`cannot listen on ${formatHostPort(address)} ${what}: ${named}; ${flag} chooses another address`, {
    cause,
  });
}

/** The code of the operating system within an error, its causes, or the errors that it gathers. */
function systemCodeIn(error: unknown, depth = 0): string | undefined {
  if (!(error instanceof Error) || depth > 5) return undefined;
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code === 'string' && /^E[A-Z]+(?:_AGAIN)?$/.test(code)) return code;
  const inner: unknown[] = [error.cause, ...(error instanceof AggregateError ? (error.errors as unknown[]) : [])];
  for (const found of inner) {
    const innerCode = systemCodeIn(found, depth + 1);
    if (innerCode !== undefined) return innerCode;
  }
  // libp2p tells failures of its listeners in the text of its own error alone.
  return /\b(?:EADDRINUSE|EACCES|EADDRNOTAVAIL|EAFNOSUPPORT|ENOTFOUND)\b/.exec(error.message)?.[0];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown reason';
}
