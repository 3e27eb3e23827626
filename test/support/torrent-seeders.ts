/** Torrent clients that know nothing of us, as seeders of what lies in a folder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { endProcess, freePort, isInstalled, until } from './programs.ts';

/** The clients that can seed in a test. */
export type SeederName = 'aria2c' | 'transmission-cli';

/** A client at work. Disposing of it ends it. */
export interface Seeder extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  readonly child: ChildProcess;
  /** What it wrote. */
  output(): string;
}

/** What is seeded. */
export interface SeededContent {
  /** The folder in which the torrent's file or folder lies. */
  readonly folder: string;
  readonly torrentFile: string;
  /** How fast it may send; aria2c alone. */
  readonly maxKibPerSecond?: number | undefined;
}

/** True when aria2c and transmission-cli can be run; states the requirements otherwise. */
export function requireSeeders(): boolean {
  const hasAria = requirement('aria2c', isInstalled('aria2c'), 'apt-get install aria2');
  const hasTransmission = requirement(
    'transmission-cli',
    isInstalled('transmission-cli'),
    'apt-get install transmission-cli',
  );
  return hasAria && hasTransmission;
}

/** Starts a client that has all of the content. It tells the trackers of the torrent; no other way leads to it but its port. */
export async function startSeeder(client: SeederName, content: SeededContent): Promise<Seeder> {
  const port = await freePort();
  const home = await mkdtemp(join(tmpdir(), 'dockyard-seeder-'));
  const args = client === 'aria2c' ? ariaArgs(content, port) : transmissionArgs(content, port, home);
  const child = spawn(client, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: home } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const seeder: Seeder = {
    address: `127.0.0.1:${port}`,
    child,
    output: () => output,
    [Symbol.asyncDispose]: async () => {
      await endProcess(child, 'SIGKILL');
      await rm(home, { recursive: true, force: true });
    },
  };
  // Both check what they have before they say so; whoever asks earlier is told to come again after many seconds.
  await until(
    () => `${client} seeds: ${output}`,
    async () => /SEED/i.test(output) && (await answers(port)),
  );
  return seeder;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const connected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
  socket.destroy();
  return connected;
}

function ariaArgs({ folder, torrentFile, maxKibPerSecond }: SeededContent, port: number): string[] {
  const quiet = [
    '--no-conf',
    '--enable-dht=false',
    '--bt-enable-lpd=false',
    '--enable-peer-exchange=false',
    '--disable-ipv6',
  ];
  const limit = maxKibPerSecond === undefined ? [] : [`--max-upload-limit=${maxKibPerSecond}K`];
  // Verified before it seeds: `--bt-seed-unverified` would announce before it can answer.
  const seeding = [
    '--summary-interval=1',
    '--check-integrity=true',
    '--seed-ratio=0',
    `--listen-port=${port}`,
    `--dir=${folder}`,
  ];
  return [...quiet, ...seeding, ...limit, torrentFile];
}

function transmissionArgs({ folder, torrentFile }: SeededContent, port: number, home: string): string[] {
  return ['--config-dir', home, '--no-portmap', '--port', String(port), '--download-dir', folder, torrentFile];
}
