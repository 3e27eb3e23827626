/** `fetch`: an image, a blob, a torrent or an app container to a folder, a file or the store; no node need run. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { pino, type Logger } from 'pino';
import { parseImageReference, type ImageReference } from '../../src/oci/reference.ts';
import { parsePlatform } from '../../src/oci/platform.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { fetchNamedBlob, fetchNamedImage, type FetchPlace, type FetchResult } from '../fetch/fetch-named.ts';
import { openFetchOrigin } from '../fetch/fetch-origin.ts';
import { FetchProgress } from '../fetch/progress.ts';
import { parseWanted, type Wanted } from '../fetch/what.ts';
import { showDuration, showSize } from '../text-forms.ts';
import type { CommandContext } from './context.ts';
import { progressForm, showProgress } from './fetch-progress.ts';
import { interruptible } from './interruption.ts';
import { addNodeFlags, loadGivenConfig } from './node-flags.ts';
import { print } from './terminal.ts';

/** Parts of the configuration that count without a node. */
const CONFIG_PARTS: ReadonlySet<string> = new Set(['data', 'upstreams', 'credentials', 'proxy']);

/** The flags of the command that are no options of the configuration. */
interface FetchFlags {
  readonly output?: string;
  readonly from?: string;
  readonly platform?: string;
  readonly force?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
  readonly data?: readonly string[];
}

/** What all kinds of fetch are given. */
interface FetchJob {
  readonly config: NodeConfig;
  readonly flags: FetchFlags;
  readonly place: FetchPlace;
  readonly progress: FetchProgress;
  readonly signal: AbortSignal;
}

/** Adds the command. */
export function addFetchCommand(program: Command, context: CommandContext): void {
  const command = program
    .command('fetch')
    .description('fetch an image to a folder (OCI image layout) or a blob to a file; no node need run')
    .argument('<WHAT>', 'an image (ghcr.io/owner/name:tag) or a digest (sha256:…)')
    .option('-o, --output <PATH>', 'the folder of an image, the file of a blob; without it, the store in --data')
    .option('--from <REPOSITORY>', 'where a blob is: ghcr.io/owner/name')
    .option('--platform <OS/ARCH>', 'the one image of an index that is wanted: linux/arm64; without it, all')
    .option('--force', 'replace what is in the way at --output')
    .option('-q, --quiet', 'show no progress and no result, only errors')
    .option('--json', 'write JSON for programs, one object to a line: progress, and the result last');
  addNodeFlags(command, ([first = '']) => CONFIG_PARTS.has(first));
  command.action(async (text: string) => {
    const flags = command.opts<FetchFlags>();
    const { config } = loadGivenConfig(command, context.facts);
    const wanted = parseWanted(text);
    const place = placeOf(flags, config, context.facts.workingDirectory);
    const progress = new FetchProgress();
    const beganMs = performance.now();
    const result = await interruptible(async (signal) => {
      using _shown = showProgress(progress, context.terminal, progressForm(context.terminal, flags));
      return await run(wanted, { config, flags, place, progress, signal });
    });
    tell(result, progress, performance.now() - beganMs, flags, context);
  });
}

async function run(wanted: Wanted, job: FetchJob): Promise<FetchResult> {
  switch (wanted.kind) {
    case 'digest':
      return await fetchDigest(wanted, job);
    case 'name':
      return await fetchName(wanted, job);
    case 'torrent':
    case 'magnet':
      throw nodeError('ERR_USAGE', 'torrents cannot be fetched yet');
  }
}

async function fetchDigest({ digest }: Wanted & { kind: 'digest' }, job: FetchJob): Promise<FetchResult> {
  const { config, flags, place, progress, signal } = job;
  if (flags.platform !== undefined) throw nodeError('ERR_USAGE', '--platform is for images, not for a digest alone');
  if (flags.from === undefined) {
    throw nodeError('ERR_USAGE', 'a digest alone says not where it is: add --from REPOSITORY');
  }
  const { scheme, reference } = requireReference(flags.from);
  await using origin = await openFetchOrigin(silent(), reference, { config, scheme });
  const { registry: source, repository } = origin;
  return await fetchNamedBlob({ source, progress }, { repository, digest }, place, { signal });
}

async function fetchName(wanted: Wanted & { kind: 'name' }, job: FetchJob): Promise<FetchResult> {
  const { config, flags, place, progress, signal } = job;
  if (flags.from !== undefined) throw nodeError('ERR_USAGE', '--from is for a digest; an image names its repository');
  const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
  const { reference, scheme } = wanted;
  if (reference === undefined) throw unreadable(wanted.text);
  await using origin = await openFetchOrigin(silent(), reference, { config, scheme });
  const { registry: source, repository } = origin;
  return await fetchNamedImage({ source, progress }, { repository, reference, platform }, place, { signal });
}

function requireReference(text: string): { reference: ImageReference; scheme: 'http' | 'https' | undefined } {
  const wanted = parseWanted(text);
  if (wanted.kind !== 'name') throw nodeError('ERR_USAGE', `--from: '${text.slice(0, 160)}' is not a repository`);
  if (wanted.reference === undefined) throw unreadable(wanted.text);
  return { reference: wanted.reference, scheme: wanted.scheme };
}

/** Says what is wrong with a name, by reading it once more. */
function unreadable(text: string): Error {
  try {
    parseImageReference(text);
  } catch (error) {
    return nodeError('ERR_USAGE', (error as Error).message, { cause: error });
  }
  return nodeError('ERR_USAGE', `'${text.slice(0, 160)}' is not the name of an image`);
}

function placeOf(flags: FetchFlags, config: NodeConfig, workingDirectory: string): FetchPlace {
  const output = flags.output === undefined ? undefined : resolveKeepingSlash(workingDirectory, flags.output);
  const usesStore = output === undefined || flags.data !== undefined;
  return { output, data: usesStore ? config.data : undefined, force: flags.force === true };
}

/** `folder/` says that it is a folder, before there is one. */
function resolveKeepingSlash(workingDirectory: string, path: string): string {
  const absolute = resolve(workingDirectory, path);
  return /[/\\]$/.test(path) && !absolute.endsWith('/') ? `${absolute}/` : absolute;
}

function tell(
  result: FetchResult,
  progress: FetchProgress,
  durationMs: number,
  flags: FetchFlags,
  { terminal }: CommandContext,
): void {
  const { receivedBytes, sentBytes } = progress;
  if (flags.json === true) {
    const { what, ...rest } = result;
    const line = { kind: 'done', what, ...rest, receivedBytes, sentBytes, durationMs: Math.round(durationMs) };
    terminal.out.write(`${JSON.stringify(line)}\n`);
    return;
  }
  if (flags.quiet === true) return;
  for (const digest of result.skipped) terminal.err.write(`skipped ${digest}: its registry does not give it out\n`);
  const digest = result.digest === undefined ? '' : ` ${result.digest}`;
  const sizes = `${showSize(result.sizeBytes)}, ${showSize(receivedBytes)} received in ${showDuration(durationMs)}`;
  print(terminal, `${result.name}${digest} → ${result.place} (${sizes})`);
}

/** What goes wrong is told once, as the error of the command. */
function silent(): Logger {
  return pino({ level: 'silent' });
}
