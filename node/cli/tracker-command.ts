/** `tracker`: runs one; `tracker register` and `tracker forget`: what a closed one serves. */
import type { Command } from 'commander';
import { parseInfoHash } from '../../tracker/registrations.ts';
import { formatHostPort, type HostPort } from '../config/address.ts';
import { TRACKER_OPTIONS } from '../config/tree.ts';
import { nodeError } from '../errors.ts';
import { callHttp, connectionReason, readBody } from '../http-call.ts';
import type { CommandContext } from './context.ts';
import { addNodeFlags, loadGivenTrackerConfig } from './node-flags.ts';
import { print } from './terminal.ts';

const ANSWER_TIMEOUT_MS = 10_000;

/** Adds the commands. */
export function addTrackerCommands(program: Command, context: CommandContext): void {
  const { terminal, facts } = context;
  const tracker = program
    .command('tracker')
    .description('run a tracker: a second way for nodes to find each other, and the meeting point of torrent clients');
  addNodeFlags(tracker, TRACKER_OPTIONS).action(async () => {
    const { runTracker } = await import('../composition/run-tracker.ts');
    await runTracker(loadGivenTrackerConfig(tracker, facts), (line) => print(terminal, line));
  });
  for (const [name, method, description, done] of [
    ['register', 'PUT', 'have the closed tracker of this host serve torrents, for good', 'registered'],
    ['forget', 'DELETE', 'take back what was registered; who holds the swarm key may let it in again', 'forgotten'],
  ] as const) {
    tracker
      .command(name)
      .description(`${description} (--admin HOST:PORT in front of "${name}" where it is not the usual one)`)
      .argument('<INFO-HASH...>', '40 hexadecimal digits, or magnet links')
      .action(async (texts: string[]) => {
        // All are read before the first is sent.
        const infoHashes = texts.map(requireInfoHash);
        const { admin } = loadGivenTrackerConfig(tracker, facts).config;
        for (const infoHash of infoHashes) {
          const { registeredBy } = await change(admin, method, infoHash);
          const stays = method === 'DELETE' && registeredBy === 'operator';
          print(terminal, stays ? `${infoHash} stays: it is in the file of --registered` : `${infoHash} ${done}`);
        }
      });
  }
}

function requireInfoHash(text: string): string {
  const infoHash = parseInfoHash(text);
  if (infoHash !== undefined) return infoHash;
  throw nodeError(
    'ERR_USAGE',
    `'${text.slice(0, 200)}' is neither an info-hash (40 hexadecimal digits) nor a magnet link`,
  );
}

/** Asks the admin server of the tracker on this host. @throws {DockyardError} ERR_ADMIN_UNREACHABLE, ERR_ADMIN_ANSWER */
async function change(admin: HostPort, method: string, infoHash: string): Promise<{ readonly registeredBy: unknown }> {
  const host = admin.host === '0.0.0.0' ? '127.0.0.1' : admin.host === '::' ? '::1' : admin.host;
  const url = `http://${formatHostPort({ host, port: admin.port })}`;
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const answer = await callHttp(`${url}/torrents/${infoHash}`, { method, signal }).catch((error: unknown) => {
    const reason = connectionReason(error);
    throw nodeError('ERR_ADMIN_UNREACHABLE', `no tracker answers at ${url}: ${reason}`, { cause: error });
  });
  const text = await readBody(answer, signal);
  const body = parseBody(text);
  if (answer.statusCode === 200 && body !== undefined && 'registeredBy' in body)
    return { registeredBy: body.registeredBy };
  const error: unknown = body !== undefined && 'error' in body ? body.error : undefined;
  const message = typeof error === 'object' && error !== null && 'message' in error ? `: ${String(error.message)}` : '';
  const unknown = answer.statusCode === 404 && message === '' && body !== undefined;
  throw nodeError(
    'ERR_ADMIN_ANSWER',
    unknown ? `${infoHash} was not registered` : `the tracker at ${url} answered ${answer.statusCode}${message}`,
  );
}

function parseBody(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
