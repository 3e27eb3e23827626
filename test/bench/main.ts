/**
 * `scripts/bench NAME… [--flag value]…`: runs benchmarks, prints their figures with bounds, keeps them in `.bench/`.
 * To add one, write a `Bench` in a file of its own and name it in BENCHES.
 */
import { NetworkLab } from '../support/network-lab.ts';
import { formatBound, holds, type Bench, type Figure } from './bench.ts';
import { CROWDS } from './crowd.ts';
import { FlagError, Flags } from './flags.ts';
import { held } from './held.ts';
import { image } from './image.ts';
import { onInterruption, untilInterrupted } from './interruption.ts';
import { crowdMemory, memory } from './memory.ts';
import { relay } from './relay.ts';
import { formatTable, saveResult } from './report.ts';
import { seedPull, seedPush } from './seed-blobs.ts';
import { seedLists } from './seed-lists.ts';
import { seedManifests } from './seed-manifests.ts';
import { seedMemory } from './seed-memory.ts';
import { small } from './small.ts';
import { tracker } from './tracker.ts';
import { torrentFetch } from './torrent-fetch.ts';
import { torrent } from './torrent.ts';

/** Of the registry of a seed. */
const SEEDS: readonly Bench[] = [seedPush, seedPull, seedManifests, seedMemory, seedLists];
/** All benchmarks. */
const BENCHES: readonly Bench[] = [
  ...[held, relay, image, small, memory, torrent, torrentFetch, tracker, crowdMemory],
  ...CROWDS,
  ...SEEDS,
];
/** Those that `all` runs: the ones whose figures the project promises on one machine, in minutes. */
const ALL: readonly Bench[] = [held, relay, image, small, memory, torrent, torrentFetch, tracker];

interface Job {
  readonly bench: Bench;
  readonly flags: Flags;
}

function help(): string {
  const lines = ['Usage: scripts/bench NAME… [--flag value]…', '', 'Benchmarks:'];
  for (const bench of BENCHES) {
    lines.push(`  ${bench.name.padEnd(14)}${bench.summary}`);
    for (const [flag, text] of Object.entries(bench.flags)) lines.push(`    --${flag.padEnd(15)}${text}`);
    for (const { what, bound } of bench.targets) lines.push(`    bound: ${what}: ${formatBound(bound)}`);
  }
  const names = ALL.map(({ name }) => name).join(', ');
  lines.push(`  ${'all'.padEnd(14)}${names}; a flag reaches those that know it`);
  lines.push(`  ${'crowds'.padEnd(14)}${CROWDS.map(({ name }) => name).join(', ')}`);
  lines.push(`  ${'seeds'.padEnd(14)}${SEEDS.map(({ name }) => name).join(', ')}`, '');
  lines.push('Exit code: 0 when all bounds hold, 1 when one is missed, 2 for a wrong command.');
  return lines.join('\n');
}

/** @throws {FlagError} when there is no such benchmark */
function chosen(names: readonly string[]): readonly Bench[] {
  return names.flatMap((name) => {
    if (name === 'all') return ALL;
    if (name === 'crowds') return CROWDS;
    if (name === 'seeds') return SEEDS;
    const bench = BENCHES.find((other) => other.name === name);
    if (bench === undefined) throw new FlagError(`there is no benchmark ${name}; scripts/bench --help lists them`);
    return [bench];
  });
}

/** Flags that this benchmark knows, out of those of all that were chosen. */
function flagsFor(bench: Bench, benches: readonly Bench[], args: readonly string[]): Flags {
  const known = benches.flatMap(({ flags }) => Object.keys(flags));
  return Flags.parse(args, [...new Set(known)]).only(Object.keys(bench.flags));
}

/** @throws {FlagError} when the command line is wrong */
function planned(args: readonly string[]): readonly Job[] {
  const firstFlag = args.findIndex((arg) => arg.startsWith('-'));
  const names = firstFlag === -1 ? args : args.slice(0, firstFlag);
  const benches = chosen(names);
  return benches.map((bench) => ({ bench, flags: flagsFor(bench, benches, args.slice(names.length)) }));
}

async function runJobs(jobs: readonly Job[]): Promise<void> {
  const figures: Figure[] = [];
  const skipped: string[] = [];
  for (const { bench, flags } of jobs) {
    console.log(`${bench.name}: ${bench.summary}`);
    const result = await bench.run(flags, (line) => console.log(line));
    figures.push(...result.figures);
    skipped.push(...result.skipped);
    console.log(`  kept in ${(await saveResult(bench.name, result)).join(', ')}`);
  }
  console.log(`\n${formatTable(figures)}`);
  for (const reason of skipped) console.log(`skipped: ${reason}`);
  if (!figures.every(holds)) process.exitCode = 1;
}

async function main(args: readonly string[]): Promise<void> {
  if (args.length === 0 || args.includes('--help')) {
    console.log(help());
    return;
  }
  try {
    await runJobs(planned(args));
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}

// The last to be undone, and so the last word on what was made in between.
onInterruption(async () => await NetworkLab.removeAll());
await untilInterrupted(async () => await main(process.argv.slice(2)));
