/** Ordinary BitTorrent clients, each alone in a process and a folder, that find peers through trackers and in no other way. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { endProcess, freePort, isInstalled } from './programs.ts';

const PIECE_BYTES = 16 * 1024;

/** A torrent of one file, and what is in it. */
export interface TestTorrent {
  readonly name: string;
  readonly content: Buffer;
  /** The metainfo file. */
  readonly bytes: Buffer;
  readonly infoHash: string;
}

/** Makes a torrent of one file. @see BEP 3 */
export function makeTestTorrent(name: string, content: Buffer, announceUrl: string): TestTorrent {
  const pieces: Buffer[] = [];
  for (let at = 0; at < content.length; at += PIECE_BYTES)
    pieces.push(
      createHash('sha1')
        .update(content.subarray(at, at + PIECE_BYTES))
        .digest(),
    );
  const info = Buffer.concat([
    Buffer.from(`d6:lengthi${content.length}e4:name${name.length}:${name}12:piece lengthi${PIECE_BYTES}e`),
    Buffer.from(`6:pieces${20 * pieces.length}:`),
    ...pieces,
    Buffer.from('e'),
  ]);
  const head = Buffer.from(`d8:announce${announceUrl.length}:${announceUrl}4:info`);
  const infoHash = createHash('sha1').update(info).digest('hex');
  return { name, content, infoHash, bytes: Buffer.concat([head, info, Buffer.from('e')]) };
}

/** The clients that are driven here. */
export type TorrentClientKind = 'aria2c' | 'transmission' | 'rtorrent';

const PROGRAMS: Readonly<Record<TorrentClientKind, { readonly program: string; readonly package: string }>> = {
  aria2c: { program: 'aria2c', package: 'aria2' },
  transmission: { program: 'transmission-daemon', package: 'transmission-daemon' },
  rtorrent: { program: 'rtorrent', package: 'rtorrent' },
};

/** Tells what is missing for all of these clients; true when they are there. To be called while tests are collected. */
export function requireTorrentClients(kinds: readonly TorrentClientKind[]): boolean {
  return kinds
    .map((kind) => PROGRAMS[kind])
    .map(({ program, package: name }) => requirement(program, isInstalled(program), `apt-get install ${name}`))
    .every(Boolean);
}

/** A client at work on one torrent; ends with `await using`, its folder too. */
export class TorrentClient implements AsyncDisposable {
  readonly kind: TorrentClientKind;
  readonly #child: ChildProcess;
  readonly #folder: string;
  #output = '';

  private constructor(kind: TorrentClientKind, child: ChildProcess, folder: string) {
    this.kind = kind;
    this.#child = child;
    this.#folder = folder;
    child.stdout?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
  }

  /** Starts a client on a torrent: one that seeds holds the content already. */
  static async start(kind: TorrentClientKind, torrent: TestTorrent, role: 'seed' | 'fetch'): Promise<TorrentClient> {
    const folder = await mkdtemp(join(tmpdir(), `dockyard-${kind}-`));
    await mkdir(join(folder, 'content'));
    await writeFile(join(folder, 'a.torrent'), torrent.bytes);
    if (role === 'seed') await writeFile(join(folder, 'content', torrent.name), torrent.content);
    const port = await freePort();
    const args = await COMMANDS[kind](folder, port, await freePort());
    // It takes what lies there for whole only after a look.
    if (kind === 'aria2c' && role === 'seed') args.unshift('--check-integrity=true');
    const child = spawn(PROGRAMS[kind].program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: folder, TERM: 'dumb' },
    });
    return new TorrentClient(kind, child, folder);
  }

  /** True when all of the torrent has arrived, and is right. */
  async has(torrent: TestTorrent): Promise<boolean> {
    const found = await readFile(join(this.#folder, 'content', torrent.name)).catch(() => undefined);
    return found?.equals(torrent.content) === true;
  }

  /** What it wrote, for who has to find out why it does not work. */
  get output(): string {
    return `${this.kind} (${this.#child.exitCode ?? 'running'}): ${this.#output.slice(-2_000)}`;
  }

  /** Ends it in good order, so that it tells its tracker. */
  async stop(): Promise<void> {
    await endProcess(this.#child, 'SIGINT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child, 'SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** How each client is started; `port` is for peers, `spare` for whatever else it listens on. */
const COMMANDS: Readonly<
  Record<TorrentClientKind, (folder: string, port: number, spare: number) => string[] | Promise<string[]>>
> = {
  // Its UDP trackers come with the DHT, which finds nobody without an entry point.
  aria2c: (folder, port, spare) => [
    `--dir=${folder}/content`,
    `--listen-port=${port}`,
    '--enable-dht=true',
    `--dht-listen-port=${spare}`,
    `--dht-file-path=${folder}/dht`,
    '--enable-dht6=false',
    '--bt-enable-lpd=false',
    '--enable-peer-exchange=false',
    '--disable-ipv6=true',
    '--seed-ratio=0.0',
    '--file-allocation=none',
    '--summary-interval=0',
    '--console-log-level=notice',
    join(folder, 'a.torrent'),
  ],
  transmission: async (folder, port, spare) => {
    await mkdir(join(folder, 'watch'));
    await writeFile(join(folder, 'watch', 'a.torrent'), await readFile(join(folder, 'a.torrent')));
    return [
      '--foreground',
      ...['--config-dir', join(folder, 'config'), '--download-dir', join(folder, 'content')],
      ...['--watch-dir', join(folder, 'watch'), '--no-incomplete-dir'],
      ...['--peerport', String(port), '--port', String(spare), '--rpc-bind-address', '127.0.0.1'],
      ...['--no-dht', '--no-lpd', '--no-utp', '--no-portmap', '--no-global-seedratio'],
    ];
  },
  rtorrent: async (folder, port) => {
    await mkdir(join(folder, 'session'));
    const settings = [
      'system.daemon.set = true',
      `session.path.set = ${folder}/session`,
      `directory.default.set = ${folder}/content`,
      `network.port_range.set = ${port}-${port}`,
      'network.port_random.set = no',
      'dht.mode.set = disable',
      'protocol.pex.set = no',
      'trackers.use_udp.set = yes',
      `schedule2 = load, 0, 0, "load.start=${folder}/a.torrent"`,
    ];
    await writeFile(join(folder, 'rtorrent.rc'), `${settings.join('\n')}\n`);
    return ['-n', '-o', `import=${folder}/rtorrent.rc`];
  },
};
