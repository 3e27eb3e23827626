/** BitTorrent clients that know nothing of us, each downloading one torrent file into a folder, and seeding on. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { endProcess, freePort, isInstalled, until } from './programs.ts';

/** A client at work. */
export interface ForeignClient extends AsyncDisposable {
  /** Where its downloads lie. */
  readonly folder: string;
  readonly port: number;
  output(): string;
}

export interface ForeignOptions {
  /** Clients that obscure their connections, and take no plain ones. */
  readonly isEncrypted?: boolean;
  /** What it may take in, in KiB per second. */
  readonly downloadKib?: number;
  /** Whether it tells others of each other, and hears of them; aria2c alone. It then says every second how it stands. */
  readonly isExchanging?: boolean;
}

/** Starts a client with a torrent file. */
export type StartClient = (torrentFile: string, folder: string, options?: ForeignOptions) => Promise<ForeignClient>;

/** The three that Debian has; a client that is not installed is left out, and named as skipped. */
export const FOREIGN_CLIENTS: readonly { readonly name: string; readonly start: StartClient }[] = [
  { name: 'aria2c', package: 'aria2', start: startAria2 },
  { name: 'transmission-cli', package: 'transmission-cli', start: startTransmission },
  { name: 'rtorrent', package: 'rtorrent', start: startRtorrent },
].filter((client) => requirement(client.name, isInstalled(client.name), `apt-get install ${client.package}`));

/** Starts aria2c, which finds others through trackers alone, unless it is to exchange them. */
export async function startAria2(
  torrentFile: string,
  folder: string,
  { isEncrypted, downloadKib, isExchanging = false }: ForeignOptions = {},
): Promise<ForeignClient> {
  const port = await freePort();
  return runClient('aria2c', folder, port, [
    '--no-conf',
    `--dir=${folder}`,
    `--listen-port=${port}`,
    '--seed-ratio=0',
    '--enable-dht=false',
    '--enable-dht6=false',
    '--bt-enable-lpd=false',
    `--enable-peer-exchange=${isExchanging}`,
    ...(isExchanging ? ['--summary-interval=1'] : []),
    '--file-allocation=none',
    `--max-overall-download-limit=${downloadKib ?? 0}K`,
    `--bt-require-crypto=${isEncrypted ?? false}`,
    '--bt-tracker-interval=1',
    '--check-integrity=true',
    torrentFile,
  ]);
}

async function startTransmission(
  torrentFile: string,
  folder: string,
  { isEncrypted, downloadKib }: ForeignOptions = {},
): Promise<ForeignClient> {
  const port = await freePort();
  const home = join(folder, '.transmission');
  await mkdir(home, { recursive: true });
  const settings = {
    'dht-enabled': false,
    'lpd-enabled': false,
    'pex-enabled': false,
    'utp-enabled': false,
    encryption: isEncrypted === true ? 2 : 1,
    'port-forwarding-enabled': false,
  };
  await writeFile(join(home, 'settings.json'), JSON.stringify(settings));
  const limit = downloadKib === undefined ? ['-D'] : ['-d', String(downloadKib)];
  return runClient('transmission-cli', folder, port, [
    ...['-g', home, '-w', folder, '-p', String(port), '-M', ...limit, isEncrypted === true ? '-er' : '-et'],
    torrentFile,
  ]);
}

async function startRtorrent(
  torrentFile: string,
  folder: string,
  { isEncrypted, downloadKib }: ForeignOptions = {},
): Promise<ForeignClient> {
  const port = await freePort();
  const session = join(folder, '.rtorrent');
  await mkdir(session, { recursive: true });
  const settings = [
    'system.daemon.set = true',
    'dht.mode.set = disable',
    'protocol.pex.set = no',
    `throttle.global_down.max_rate.set_kb = ${downloadKib ?? 0}`,
    `protocol.encryption.set = ${isEncrypted === true ? 'require,require_RC4' : 'allow_incoming,try_outgoing,enable_retry'}`,
  ];
  const rc = join(session, 'rc');
  await writeFile(rc, `${settings.join('\n')}\n`);
  return runClient('rtorrent', folder, port, [
    ...['-n', '-d', folder, '-s', session, '-p', `${port}-${port}`, '-o', `import=${rc}`],
    torrentFile,
  ]);
}

function runClient(program: string, folder: string, port: number, args: readonly string[]): ForeignClient {
  const child: ChildProcess = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: process.env });
  let output = '';
  const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-20_000));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return {
    folder,
    port,
    output: () => output,
    [Symbol.asyncDispose]: async () => await endProcess(child, 'SIGKILL'),
  };
}

/** Waits until what a client has is as it should be. */
export async function untilFetched(client: ForeignClient, isRight: () => Promise<boolean>): Promise<void> {
  await until(
    () => `the torrent client has all of it\n${client.output().slice(-3000)}`,
    async () => await isRight().catch(() => false),
    45_000,
    100,
  );
}
