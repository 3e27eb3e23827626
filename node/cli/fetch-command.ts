/** `fetch`: an image, a blob, a torrent or an app container to a folder, a file or the store; no node need run. */
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { NodeConfig } from '../config/schema.ts';
import { parseDuration } from '../config/quantity.ts';
import { formatHostPort, parseHostPort } from '../config/address.ts';
import { nodeError } from '../errors.ts';
import type { FetchFlags } from '../fetch/job.ts';
import type { FetchPlace, FetchResult } from '../fetch/fetch-named.ts';
import { FetchProgress } from '../fetch/progress.ts';
import { parseWanted } from '../fetch/what.ts';
import { showDuration, showSize, showUntrusted } from '../text-forms.ts';
import type { CommandContext } from './context.ts';
import { progressForm, showProgress } from './fetch-progress.ts';
import { interruptible } from './interruption.ts';
import { NODE_OPTIONS } from '../config/tree.ts';
import { addNodeFlags, loadGivenConfig } from './node-flags.ts';
import { print } from './terminal.ts';

/** Parts of the configuration that count without a node. */
const CONFIG_PARTS: ReadonlySet<string> = new Set([
  'data',
  'listen',
  'admin',
  'upstreams',
  'credentials',
  'proxy',
  'torrent',
]);

/** What counts of parts that otherwise do not, and what does not count of those that do. */
const CONFIG_EXCEPTIONS: ReadonlyMap<string, boolean> = new Map([
  ['swarm.tracker', true],
  // Closed trackers take from its holders what is seeded.
  ['swarm.key', true],
  ['torrent.enabled', false],
  ['torrent.maxTorrents', false],
  ['torrent.private', false],
  ['torrent.originWebSeeds', false],
]);

/** How long a torrent may bring nothing. */
const DEFAULT_TIMEOUT = '2m';

/** How often the engine's counts are read while it seeds. */
const COUNT_INTERVAL_MS = 500;

/** What commander makes of the flags. */
type GivenFlags = FetchFlags & {
  readonly output?: string;
  readonly force?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
  readonly data?: readonly string[];
};

/** Adds the command. */
export function addFetchCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('fetch')
    .description('fetch an image (to a folder), a blob, a torrent or an app (to a file); no node need run')
    .argument(
      '<WHAT>',
      'an image, a digest (sha256:…), a .torrent file or its URL, a magnet link, or an app (example.com/app:1.0)',
    );
  addPlaceFlags(command);
  addTorrentFlags(command);
  addAppFlags(command);
  addNodeFlags(
    command,
    NODE_OPTIONS,
    (path) => CONFIG_EXCEPTIONS.get(path.join('.')) ?? CONFIG_PARTS.has(path[0] ?? ''),
  );
  command.action(async (text: string) => {
    const flags = command.opts<GivenFlags>();
    const { config, sources } = loadGivenConfig(command, context.facts);
    const torrentListen = sources.has('torrent.listen') ? config.torrent.listen : undefined;
    const { workingDirectory } = context.facts;
    const place = placeOf(flags, config, workingDirectory);
    const progress = new FetchProgress();
    const beganMs = performance.now();
    await interruptible(async (signal) => {
      const job = { wanted: parseWanted(text), text, config, torrentListen, flags, place, progress, workingDirectory };
      const runFetchJob = await jobRunner();
      await using fetched = await shown(progress, flags, context, async () => await runFetchJob(job, { signal }));
      tell(fetched.result, progress, performance.now() - beganMs, flags, context);
      const { count } = fetched;
      if (flags.seed !== true || count === undefined) return;
      progress.phase = 'seeding';
      await shown(progress, flags, context, async () => await untilAborted(signal, count));
    });
  });
}

/** Loaded when it is needed. Apart, because TypeScript leaves the names of imports beside a `using` as they are. */
async function jobRunner() {
  const { runFetchJob } = await import('../fetch/fetch-job.ts');
  return runFetchJob;
}

function addPlaceFlags(command: Command): void {
  command
    .option('-o, --output <PATH>', 'where to; without it, the store in --data')
    .option('--from <REPOSITORY>', 'where a blob is: ghcr.io/owner/name')
    .option(
      '--platform <OS/ARCH>',
      'the one image of an index that is wanted, and no image for another platform: linux/arm64; without it, all',
    )
    .option('--force', 'replace or mend what is in the way at --output')
    .option('-q, --quiet', 'show no progress and no result, only errors')
    .option('--json', 'write JSON for programs, one object to a line: progress, and the result last');
}

function addTorrentFlags(command: Command): void {
  const peer = 'a torrent client to ask besides those that trackers name; may be repeated';
  const timeout = new Option('--timeout <DURATION>', 'give a torrent up when nothing came for so long; 0 is never');
  command
    .option('--p2p', 'fetch an image, a blob or an app by the torrent that a node offers')
    .addOption(new Option('--node <URL>', 'the node that has the torrents').env('DOCKYARD_NODE_URL'))
    .option('--peer <HOST:PORT>', peer, collectPeer)
    .addOption(timeout.argParser(requireDuration).default(requireDuration(DEFAULT_TIMEOUT), DEFAULT_TIMEOUT))
    .option('--seed', 'go on sharing what came by torrent until interrupted');
}

function addAppFlags(command: Command): void {
  const as = new Option('--as <KIND>', 'what a name is that could be either, when asking its host is not wanted');
  const key = 'a public key (gpg --export) whose signatures of apps are trusted; may be repeated';
  command
    .addOption(as.choices(['image', 'app']))
    .option('--key <FILE>', key, collect)
    .option('--unsigned', 'take an app whoever made it')
    .option('--signature <FILE>', 'the signature of an app that comes by torrent; without it, the .asc beside it')
    .option('--image-id <ID>', 'the image ID that an app must have: sha512-…')
    .option('--insecure', 'let plain http be used for discovery and apps');
}

async function shown<Result>(
  progress: FetchProgress,
  flags: GivenFlags,
  { terminal }: CommandContext,
  work: () => Promise<Result>,
): Promise<Result> {
  using _shown = showProgress(progress, terminal, progressForm(terminal, flags));
  return await work();
}

async function untilAborted(signal: AbortSignal, count: () => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(count, COUNT_INTERVAL_MS);
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  await promise;
  clearInterval(timer);
}

function placeOf(flags: GivenFlags, config: NodeConfig, workingDirectory: string): FetchPlace {
  const output = flags.output === undefined ? undefined : resolveKeepingSlash(workingDirectory, flags.output);
  const usesStore = output === undefined || flags.data !== undefined;
  return { output, data: usesStore ? config.data : undefined, force: flags.force === true };
}

/** `folder/` says that it is a folder, before there is one. */
function resolveKeepingSlash(workingDirectory: string, path: string): string {
  const absolute = resolve(workingDirectory, path);
  return /[/\\]$/.test(path) && !absolute.endsWith('/') ? `${absolute}/` : absolute;
}

function requireDuration(text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs === undefined) throw nodeError('ERR_USAGE', `--timeout: '${text}' is no duration such as 30s or 5m`);
  return durationMs === Infinity ? 0 : durationMs;
}

function collectPeer(text: string, before: readonly string[] = []): string[] {
  const address = parseHostPort(text);
  if (address === undefined) throw nodeError('ERR_USAGE', `--peer: '${text}' is not HOST:PORT`);
  return [...before, formatHostPort(address)];
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function tell(
  result: FetchResult,
  progress: FetchProgress,
  durationMs: number,
  flags: GivenFlags,
  { terminal }: CommandContext,
): void {
  const { receivedBytes } = progress;
  if (flags.json === true) {
    const line = { kind: 'done', ...result, receivedBytes, durationMs: Math.round(durationMs) };
    terminal.out.write(`${JSON.stringify(line)}\n`);
    return;
  }
  if (flags.quiet === true) return;
  for (const digest of result.skipped) terminal.err.write(`skipped ${digest}: its registry does not give it out\n`);
  if (result.detour !== undefined) terminal.err.write(`not by torrent: ${showUntrusted(result.detour)}\n`);
  const id = result.imageId ?? result.digest;
  const digest = id === undefined ? '' : ` ${id}`;
  const sizes = `${showSize(result.sizeBytes)}, ${showSize(receivedBytes)} received in ${showDuration(durationMs)}`;
  const signed = result.signedBy === undefined ? '' : `, signed by ${result.signedBy}`;
  print(terminal, `${showUntrusted(result.name)}${digest} → ${showUntrusted(result.place, 4096)} (${sizes}${signed})`);
}
