/** `torrent create` and `torrent show`: torrent files of images, blobs and files, and what stands in one. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { nodeDisk, writeNewFile } from '../../src/content/disk.ts';
import { formatMagnet } from '../../src/torrent/magnet.ts';
import type { TorrentSource } from '../../src/torrent/make-torrent.ts';
import { encodeMetainfo, type Metainfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { NODE_OPTIONS } from '../config/tree.ts';
import { loadGivenConfig, addNodeFlags } from './node-flags.ts';
import { nodeError } from '../errors.ts';
import { filePathFor, requireFree } from '../fetch/file-output.ts';
import { outputFailure } from '../fetch/output-failure.ts';
import { FetchProgress } from '../fetch/progress.ts';
import { showCount, showSize, showUntrusted } from '../text-forms.ts';
import type { CommandContext } from './context.ts';
import { progressForm, showProgress } from './fetch-progress.ts';
import { interruptible } from './interruption.ts';
import { print, printJson } from './terminal.ts';

/** Parts of the configuration that count for making a torrent. */
const CONFIG_PARTS: ReadonlySet<string> = new Set(['data', 'upstreams', 'credentials', 'proxy', 'swarm.tracker']);

/** The files of a torrent that are shown; an image has some dozens. */
const MAX_SHOWN_FILES = 200;

interface CreateFlags {
  readonly output?: string;
  readonly from?: string;
  readonly data?: readonly string[];
  readonly webSeed?: readonly string[];
  readonly private?: boolean;
  readonly force?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** Adds the commands. */
export function addTorrentCommands(program: Command, context: CommandContext): void {
  const torrent = program.command('torrent').description('torrent files');
  addCreateCommand(torrent, context);
  torrent
    .command('show')
    .description('what stands in a torrent file')
    .argument('<FILE>', 'a .torrent file')
    .option('--json', 'write JSON for programs')
    .action(async (file: string, options: { json?: boolean }) => {
      const { readTorrentFile } = await import('../fetch/torrent-file.ts');
      const metainfo = parseMetainfo(await readTorrentFile(resolve(context.facts.workingDirectory, file)));
      if (options.json === true) printJson(context.terminal, reportOf(metainfo));
      else for (const line of torrentLines(metainfo)) print(context.terminal, line);
    });
}

function addCreateCommand(torrent: Command, context: CommandContext): void {
  const command = torrent
    .command('create')
    .description('make the torrent file of a file, a folder, an image or a blob; always the same for the same content')
    .argument('<WHAT>', 'a path, an image (ghcr.io/owner/name:tag) or a digest (sha256:…)')
    .option('-o, --output <PATH>', 'the torrent file, or the folder for it; without it, here')
    .option('--from <REPOSITORY>', 'where a blob is: ghcr.io/owner/name; without it, in the store of --data')
    .option('--web-seed <URL>', 'where plain HTTP gives the content; may be repeated', collect)
    .option('--private', 'peers are to be had of the trackers alone')
    .option('--force', 'replace a torrent file that is in the way')
    .option('-q, --quiet', 'show no progress and no result, only errors')
    .option('--json', 'write JSON for programs, one object to a line: progress, and the result last');
  addNodeFlags(command, NODE_OPTIONS, (path) => CONFIG_PARTS.has(path[0] ?? '') || CONFIG_PARTS.has(path.join('.')));
  command.action(async (what: string) => {
    const flags = command.opts<CreateFlags>();
    const { config } = loadGivenConfig(command, context.facts);
    const { workingDirectory } = context.facts;
    const webSeeds = (flags.webSeed ?? []).map(requireWebSeed);
    const progress = new FetchProgress();
    const { metainfo, path } = await interruptible(async (signal) => {
      const openTorrentSource = await sourceOpener();
      using _shown = showProgress(progress, context.terminal, progressForm(context.terminal, flags));
      const wanted = { what, from: flags.from, usesStore: flags.data !== undefined, workingDirectory };
      await using opened = await openTorrentSource(wanted, config, { signal });
      const name = `${opened.source.name}.torrent`;
      const path = await filePathFor(resolve(workingDirectory, flags.output ?? '.'), name);
      await requireFree(path, { force: flags.force === true });
      const source = { ...opened.source, isPrivate: flags.private === true };
      const info = await makeWithProgress(source, progress, signal);
      const trackerTiers = config.swarm.tracker.map((url) => [url]);
      const metainfo: Metainfo = { info, trackerTiers, webSeeds, comment: undefined };
      await writeTorrentFile(path, encodeMetainfo(metainfo));
      return { metainfo, path };
    });
    tell(metainfo, path, flags, context);
  });
}

/** Loaded when it is needed. Apart, because TypeScript leaves the names of imports beside a `using` as they are. */
async function sourceOpener() {
  const { openTorrentSource } = await import('../fetch/torrent-what.ts');
  return openTorrentSource;
}

async function makeWithProgress(
  source: TorrentSource,
  progress: FetchProgress,
  signal: AbortSignal,
): Promise<Metainfo['info']> {
  progress.phase = 'verifying';
  const onHashed = (hashedBytes: number, sizeBytes: number): void => {
    progress.totalBytes = sizeBytes;
    progress.received(hashedBytes - progress.doneBytes);
  };
  const { makeTorrent } = await import('../../src/torrent/make-torrent.ts');
  const info = await makeTorrent(source, { signal, onHashed });
  progress.phase = 'done';
  return info;
}

async function writeTorrentFile(path: string, bytes: Buffer): Promise<void> {
  const incoming = `${path}.part`;
  try {
    await nodeDisk.removeTree(incoming);
    await writeNewFile(nodeDisk, incoming, bytes);
    await nodeDisk.rename(incoming, path);
  } catch (error) {
    throw outputFailure(error, path);
  }
}

function requireWebSeed(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
  throw nodeError('ERR_USAGE', `--web-seed: '${text.slice(0, 160)}' is not an http or https URL`);
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function tell(metainfo: Metainfo, path: string, flags: CreateFlags, { terminal }: CommandContext): void {
  if (flags.json === true) {
    terminal.out.write(`${JSON.stringify({ kind: 'done', place: path, ...reportOf(metainfo) })}\n`);
  } else if (flags.quiet !== true) {
    print(terminal, `${path}  ${metainfo.info.infoHash}  ${showSize(metainfo.info.sizeBytes)}`);
  }
}

/** What stands in a torrent, for programs. */
function reportOf(metainfo: Metainfo): object {
  const { info, trackerTiers, webSeeds, comment } = metainfo;
  const { infoHash, name, isSingleFile, sizeBytes, pieceSizeBytes, isPrivate } = info;
  const files = info.files
    .filter(({ isPadding }) => !isPadding)
    .map((file) => ({ path: file.path.join('/'), sizeBytes: file.sizeBytes }));
  const pieceCount = Math.ceil(sizeBytes / pieceSizeBytes);
  const facts = { infoHash, name, isSingleFile, sizeBytes, pieceSizeBytes, pieceCount, isPrivate };
  return { ...facts, files, trackerTiers, webSeeds, comment, magnet: formatMagnet(metainfo) };
}

/** What stands in a torrent, for people. */
export function torrentLines(metainfo: Metainfo): string[] {
  const { info, trackerTiers, webSeeds, comment } = metainfo;
  const pieceCount = Math.ceil(info.sizeBytes / info.pieceSizeBytes);
  const files = info.files.filter(({ isPadding }) => !isPadding);
  const facts: readonly (readonly [string, string])[] = [
    ['name', info.name],
    ['info hash', info.infoHash],
    ['size', `${showSize(info.sizeBytes)} in ${showCount(pieceCount, 'piece')} of ${showSize(info.pieceSizeBytes)}`],
    ['peers', info.isPrivate ? 'from its trackers alone' : 'from anywhere'],
    ...trackerTiers.map((tier): readonly [string, string] => ['tracker', tier.join(' or ')]),
    ...webSeeds.map((url): readonly [string, string] => ['web seed', url]),
    ...(comment === undefined ? [] : [['comment', comment] as const]),
    ['magnet', formatMagnet(metainfo)],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const shown = files.slice(0, MAX_SHOWN_FILES).map(({ path, sizeBytes }) => {
    return `  ${showSize(sizeBytes).padStart(10)}  ${showUntrusted(path.join('/'))}`;
  });
  const rest = files.length - shown.length;
  return [
    ...facts.map(([name, value]) => `${name.padEnd(width)}  ${showUntrusted(value, 16_384)}`),
    showCount(files.length, 'file'),
    ...shown,
    ...(rest === 0 ? [] : [`  and ${rest} more; --json lists all`]),
  ];
}
