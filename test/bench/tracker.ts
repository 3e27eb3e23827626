/**
 * Announces over HTTP, against opentracker: both serve the same thousand registered torrents, and wrk announces for 100,000
 * peers, on connections that it keeps or not. Debian's opentracker closes every connection after its answer.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endProcess, freePort, isInstalled, run, until } from '../support/programs.ts';
import { TrackerProcess } from '../support/tracker-process.ts';
import type { Bench, Bound, Target } from './bench.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const SCRIPT = fileURLToPath(new URL('tracker-announces.lua', import.meta.url));
const MIB = 1024 ** 2;
const TORRENTS = 1_000;
const PEERS = 100_000;
const CONNECTIONS = 50;

type Connection = 'close' | 'keep-alive';

interface Round {
  readonly closing: number;
  readonly kept: number;
  readonly otherClosing: number;
  readonly otherKept: number;
}

const atLeast = (value: number): Bound => ({ direction: 'at least', value, unit: '×' });

const CLOSING: Target = {
  what: 'announces a second over HTTP, a connection each, against opentracker',
  bound: atLeast(0.15),
};
const KEPT: Target = { what: '… with clients that keep connections', bound: atLeast(0.15) };
const GROWTH: Target = {
  what: 'resident memory of the tracker after 100,000 peers have announced again and again, against the first time',
  bound: { direction: 'at most', value: 1.15, unit: '×' },
};

export const tracker: Bench = {
  name: 'tracker',
  summary: 'announces a second over HTTP and memory with 100,000 peers, against opentracker',
  flags: { 'tracker-rounds': 'how often each is measured (3)', 'announce-seconds': 'how long each time (4)' },
  targets: [CLOSING, KEPT, GROWTH],
  async run(flags, log) {
    const missing = ['wrk', 'opentracker'].filter((program) => !isInstalled(program));
    if (process.getuid?.() !== 0) missing.push('root, for opentracker');
    if (missing.length > 0)
      return { figures: [], skipped: [`tracker: needs ${missing.join(', ')}`], details: undefined };
    const seconds = flags.seconds('announce-seconds', 4);
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-bench-tracker-'));
    try {
      return await measure(folder, { seconds, rounds: flags.count('tracker-rounds', 3) }, log);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

async function measure(
  folder: string,
  { seconds, rounds }: { readonly seconds: number; readonly rounds: number },
  log: (line: string) => void,
): ReturnType<Bench['run']> {
  const hashes = join(folder, 'hashes');
  const lines = Array.from({ length: TORRENTS }, () => `${randomBytes(20).toString('hex')}\n`);
  await writeFile(hashes, lines.join(''), { mode: 0o644 });
  const flags = ['--registered', hashes, '--data', join(folder, 'data'), '--total-rate', 'Infinity'];
  await using ours = await TrackerProcess.start(flags);
  await using other = await OpenTracker.start(folder, hashes);
  let first = 0;
  const announce = async (port: number, connection: Connection): Promise<number> => {
    first = (first + PEERS / 7) % PEERS;
    return await announcesPerSecond(port, { hashes, connection, seconds, first: Math.floor(first) });
  };
  const knowsAll = async (): Promise<boolean> => {
    const { complete = 0, incomplete = 0 } = await ours.stats();
    return complete + incomplete >= PEERS;
  };
  // In both ways, so that what connections cost is in the first reading too.
  do {
    await announce(ours.port, 'close');
    await announce(ours.port, 'keep-alive');
  } while (!(await knowsAll()));
  const firstBytes = await residentBytes(ours);
  log(`  ${PEERS} peers: ${(firstBytes / MIB).toFixed(0)} MiB resident`);
  const measured = await repeat<Round>(
    { warmups: 1, rounds },
    async () => ({
      closing: await announce(ours.port, 'close'),
      otherClosing: await announce(other.port, 'close'),
      kept: await announce(ours.port, 'keep-alive'),
      otherKept: await announce(other.port, 'keep-alive'),
    }),
    log,
  );
  const lastBytes = await residentBytes(ours);
  const figures = [
    { ...CLOSING, spread: spreadOf(measured.map(({ closing, otherClosing }) => closing / otherClosing)) },
    { ...KEPT, spread: spreadOf(measured.map(({ kept, otherKept }) => kept / otherKept)) },
    { ...GROWTH, spread: spreadOf([lastBytes / firstBytes]) },
  ];
  return { figures, skipped: [], details: { seconds, firstMiB: firstBytes / MIB, lastMiB: lastBytes / MIB, measured } };
}

/** Has wrk announce as fast as it gets answers; answers how many came in a second. @throws {Error} when some were refused */
async function announcesPerSecond(
  port: number,
  options: { hashes: string; connection: Connection; seconds: number; first: number },
): Promise<number> {
  const { hashes, connection, seconds, first } = options;
  const args = ['-t1', `-c${CONNECTIONS}`, `-d${Math.ceil(seconds)}`, '-s', SCRIPT, `http://127.0.0.1:${port}/`];
  const { output } = await run('wrk', args, { HASHES: hashes, CONNECTION: connection, FIRST: String(first) });
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
  if (!(rate > 0) || /Non-2xx/.test(output)) throw new Error(`wrk failed:\n${output}`);
  return rate;
}

async function residentBytes({ process: { child } }: TrackerProcess): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** opentracker as Debian builds it: it serves what stands in a file alone. */
class OpenTracker implements AsyncDisposable {
  readonly port: number;
  readonly #child: ReturnType<typeof spawn>;

  private constructor(child: ReturnType<typeof spawn>, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(folder: string, hashes: string): Promise<OpenTracker> {
    const port = await freePort();
    const file = join(folder, 'opentracker.conf');
    await chmod(folder, 0o755);
    // It changes its root to the folder before it reads the list.
    const settings = [
      `access.whitelist ${hashes.slice(folder.length)}`,
      `tracker.rootdir ${folder}`,
      'tracker.user nobody',
    ];
    await writeFile(file, `${settings.join('\n')}\n`);
    const args = ['-f', file, '-i', '127.0.0.1', '-p', String(port), '-P', String(port)];
    const tracker = new OpenTracker(spawn('opentracker', args, { stdio: 'ignore' }), port);
    const [infoHash = ''] = (await readFile(hashes, 'utf8')).split('\n');
    const query = `info_hash=${infoHash.replaceAll(/../g, '%$&')}&peer_id=-XX0000-000000000000&port=1&left=0&compact=1`;
    await until('opentracker serves', async () => {
      const { output } = await run('curl', ['-s', `http://127.0.0.1:${port}/announce?${query}`]);
      return output.includes('interval');
    });
    return tracker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child, 'SIGKILL');
  }
}
