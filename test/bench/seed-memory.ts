/** The most memory that a seed has resident while as many clients push a large blob each. */
import type { Bench, Target } from './bench.ts';
import { peakResidentBytes } from './bench-net.ts';
import { pushByCurl, SeedNet, settleDisk, type RandomFile } from './seed-net.ts';
import { spreadOf } from './spread.ts';

const CLIENTS = 8;
const MIB = 1024 ** 2;

const TARGET: Target = {
  what: `resident memory of a seed to which ${CLIENTS} clients push a blob each`,
  bound: { direction: 'at most', value: 300, unit: ' MiB' },
};

export const seedMemory: Bench = {
  name: 'seed-memory',
  summary: `peak resident memory of a seed while ${CLIENTS} clients push a blob each`,
  flags: { blob: 'size of each blob (1GiB)', profile: 'folder for CPU profiles of the seed' },
  targets: [TARGET],
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('blob', 1024 * MIB);
    await using parts = await SeedNet.open(flags.text('profile'));
    const files: RandomFile[] = [];
    while (files.length < CLIENTS) files.push(await parts.randomFile(sizeBytes));
    await settleDisk();
    const idleMiB = (await peakResidentBytes(parts.seed)) / MIB;
    const [seed] = parts.sides(1);
    if (seed === undefined) throw new TypeError('a net has two sides');
    const startMs = performance.now();
    await Promise.all(files.map(async (file) => await pushByCurl(seed, file)));
    const seconds = (performance.now() - startMs) / 1000;
    const peakMiB = (await peakResidentBytes(parts.seed)) / MIB;
    log(`  idle ${idleMiB.toFixed(0)} MiB, peak ${peakMiB.toFixed(0)} MiB, ${seconds.toFixed(1)} s`);
    const details = { sizeBytes, idleMiB, peakMiB, seconds };
    return { figures: [{ ...TARGET, spread: spreadOf([peakMiB]) }], skipped: [], details };
  },
};
