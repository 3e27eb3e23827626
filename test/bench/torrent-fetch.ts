/** A file by torrent from a client that knows nothing of us: `dockyard fetch` against aria2c, both fresh in every round. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN, NODE_FLAGS } from '../support/node-process.ts';
import { freePort, isInstalled, until } from '../support/programs.ts';
import type { DockyardTracker } from '../../tracker/tracker.ts';
import { openLoopbackTracker } from '../support/open-tracker.ts';
import { startSeeder, type SeededContent, type SeederName } from '../support/torrent-seeders.ts';
import type { Bench, Target } from './bench.ts';
import { writeRandomFile } from './random-blob.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const SEEDERS: readonly SeederName[] = ['aria2c', 'transmission-cli'];

/** Transmission answers what it was asked for twice a second, and so gives a few megabytes a second at most. */
const PART_FROM_TRANSMISSION = 1 / 16;

const targetOf = (seeder: SeederName): Target => ({
  what: `file by torrent from ${seeder}: rate of dockyard fetch against aria2c`,
  bound: { direction: 'at least', value: 0.6, unit: '×' },
});

/** How long one fetch may take. */
const TIMEOUT_MS = 120_000;

export const torrentFetch: Bench = {
  name: 'torrent-fetch',
  summary: 'a file by torrent from aria2c and from transmission-cli: dockyard fetch against aria2c',
  flags: {
    size: 'size of the file (1GiB); from transmission-cli a sixteenth of it',
    rounds: 'how often each side is measured (3)',
    seeder: 'aria2c or transmission-cli alone',
  },
  targets: SEEDERS.map(targetOf),
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('size', 1024 ** 3);
    const only = flags.text('seeder');
    const chosen = SEEDERS.filter((seeder) => only === undefined || seeder === only);
    const present = chosen.filter((seeder) => isInstalled(seeder) && isInstalled('aria2c'));
    const skipped = chosen
      .filter((seeder) => !present.includes(seeder))
      .map((name) => `${name} or aria2c not installed`);
    const details: Record<string, unknown> = {};
    const figures = [];
    for (const seeder of present) {
      let rounds: readonly Round[];
      try {
        const part = seeder === 'transmission-cli' ? PART_FROM_TRANSMISSION : 1;
        rounds = await measure(seeder, { sizeBytes: sizeBytes * part, rounds: flags.count('rounds', 3) }, log);
      } catch (error) {
        if (!(error instanceof NothingToCompare)) throw error;
        skipped.push(`${seeder}: ${error.message}`);
        continue;
      }
      details[seeder] = rounds;
      figures.push({ ...targetOf(seeder), spread: spreadOf(rounds.map(({ rateRatio }) => rateRatio)) });
    }
    return { figures, skipped, details: { sizeBytes, ...details } };
  },
};

/** aria2c itself got nothing: there is no rate to hold ours against. */
class NothingToCompare extends Error {}

interface Round {
  readonly ariaSeconds: number;
  readonly dockyardSeconds: number;
  readonly rateRatio: number;
}

async function measure(
  name: SeederName,
  plan: { readonly sizeBytes: number; readonly rounds: number },
  log: (line: string) => void,
): Promise<Round[]> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-bench-torrent-'));
  stack.defer(async () => await rm(folder, { recursive: true, force: true }));
  const tracker = stack.use(await openLoopbackTracker());
  await writeRandomFile(join(folder, 'data'), plan.sizeBytes);
  const torrentFile = join(folder, 'data.torrent');
  const announce = `http://127.0.0.1:${tracker.port}/announce`;
  await timeDockyard(['torrent', 'create', join(folder, 'data'), '-o', torrentFile, '--tracker', announce]);
  const seeding = { folder, torrentFile };
  return await repeat(
    { warmups: 1, rounds: plan.rounds },
    async () => {
      const [theirs, ours] = [join(folder, 'theirs'), join(folder, 'ours')];
      const ariaSeconds = await besideSeeder(name, seeding, tracker, async () => {
        return await timeAria(torrentFile, theirs).catch((cause: unknown) => {
          throw new NothingToCompare(`aria2c got nothing within ${TIMEOUT_MS / 1000} s`, { cause });
        });
      });
      await expectSize(join(theirs, 'data'), plan.sizeBytes);
      await rm(theirs, { recursive: true });
      const dockyardSeconds = await besideSeeder(name, seeding, tracker, async () => {
        return await timeDockyard(['fetch', torrentFile, '--output', ours, '--quiet']);
      });
      await expectSize(ours, plan.sizeBytes);
      await rm(ours);
      return { ariaSeconds, dockyardSeconds, rateRatio: ariaSeconds / dockyardSeconds };
    },
    log,
  );
}

/**
 * With a seeder of its own, for both in the same state: transmission begins to serve when its clock of ten seconds strikes, and
 * never serves a second client of an address from which the first has told that it is complete.
 */
async function besideSeeder<Result>(
  name: SeederName,
  content: SeededContent,
  tracker: DockyardTracker,
  work: () => Promise<Result>,
): Promise<Result> {
  const before = tracker.stats().complete;
  await using seeder = await startSeeder(name, content);
  await until(
    () => `the seeder tells the tracker\n${seeder.output()}`,
    () => tracker.stats().complete > before,
    20_000,
  );
  return await work();
}

async function timeAria(torrentFile: string, folder: string): Promise<number> {
  await mkdir(folder);
  const quiet = ['--no-conf', '--quiet', '--enable-dht=false', '--bt-enable-lpd=false', '--disable-ipv6'];
  const own = [`--listen-port=${await freePort()}`, '--seed-time=0', '--file-allocation=none', `--dir=${folder}`];
  return await timeProgram('aria2c', [...quiet, ...own, torrentFile]);
}

async function timeDockyard(args: readonly string[]): Promise<number> {
  return await timeProgram(process.execPath, [...NODE_FLAGS, MAIN, ...args]);
}

async function timeProgram(program: string, args: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: TIMEOUT_MS });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}`);
  return (performance.now() - startMs) / 1000;
}

async function expectSize(path: string, sizeBytes: number): Promise<void> {
  const { size } = await stat(path);
  if (size !== sizeBytes) throw new Error(`${path} has ${size} of ${sizeBytes} bytes`);
}
