/** Blobs pushed to a seed and pulled from it, large and small, against docker-registry on the same disk. */
import type { Bench, Bound, BenchResult, Figure, Target } from './bench.ts';
import { REPOSITORY, processorSeconds, timeCurl } from './bench-net.ts';
import type { Flags } from './flags.ts';
import { repeat } from './rounds.ts';
import { blobUrl, pushByCurl, SeedNet, withMemory, type Side } from './seed-net.ts';
import { spreadOf } from './spread.ts';

const CLIENTS = 8;
const MIB = 1024 ** 2;

const atLeast = (value: number): Bound => ({ direction: 'at least', value, unit: '×' });

const PUSH_LARGE: Target = {
  what: 'push of a blob by curl to a seed: rate against docker-registry',
  bound: atLeast(0.8),
};
const PUSH_SMALL: Target = { what: `push of small blobs, ${CLIENTS} at once: rate likewise`, bound: atLeast(0.8) };
const PULL_LARGE: Target = {
  what: `pull of a blob by ${CLIENTS} curls from a seed: rate likewise`,
  bound: atLeast(0.7),
};
const PULL_SMALL: Target = { what: `pull of small blobs by ${CLIENTS} clients: rate likewise`, bound: atLeast(0.7) };

const FLAGS = {
  blob: 'size of the large blob (1GiB)',
  'small-blob': 'size of each small blob (100KiB)',
  blobs: 'number of small blobs (200)',
  rounds: 'how often each side is measured (5)',
  profile: 'folder for CPU profiles of the seed',
};

/** What a round found, by name. */
type Round = Record<string, number>;

export const seedPush: Bench = {
  name: 'seed-push',
  summary: 'a large blob by curl and many small ones pushed to a seed, against docker-registry',
  flags: FLAGS,
  targets: [PUSH_LARGE, PUSH_SMALL],
  async run(flags, log) {
    const { largeBytes, smallBytes, count, turns } = planned(flags);
    await using parts = await SeedNet.open(flags.text('profile'));
    const file = await parts.randomFile(largeBytes);
    const measure = async (round: number): Promise<Round> => {
      const found: Round = {};
      for (const side of parts.sides(round)) {
        const before = await processorSeconds(parts.seed);
        found[`${side.name}Large`] = await withMemory(largeBytes, async () => await pushByCurl(side, file));
        if (side.name === 'seed') found['seedProcessorLarge'] = (await processorSeconds(parts.seed)) - before;
      }
      for (const side of parts.sides(round)) {
        const before = await processorSeconds(parts.seed);
        const pushing = await withMemory(
          count * smallBytes,
          async () => await pushSmall(parts, side, count, smallBytes),
        );
        found[`${side.name}Small`] = pushing.seconds;
        if (side.name === 'seed') found['seedProcessorSmall'] = (await processorSeconds(parts.seed)) - before;
      }
      await parts.clear();
      return withRatios(found);
    };
    const rounds = await repeat(turns, measure, log);
    return resultOf(rounds, PUSH_LARGE, PUSH_SMALL);
  },
};

export const seedPull: Bench = {
  name: 'seed-pull',
  summary: `a large blob and many small ones pulled from a seed by ${CLIENTS} clients, against docker-registry`,
  flags: FLAGS,
  targets: [PULL_LARGE, PULL_SMALL],
  async run(flags, log) {
    const { largeBytes, smallBytes, count, turns } = planned(flags);
    await using parts = await SeedNet.open(flags.text('profile'));
    const file = await parts.randomFile(largeBytes);
    const small = new Map<Side['name'], readonly string[]>();
    for (const side of parts.sides(0)) {
      await pushByCurl(side, file);
      small.set(side.name, (await pushSmall(parts, side, count, smallBytes)).digests);
    }
    const measure = async (round: number): Promise<Round> => {
      const found: Round = {};
      for (const side of parts.sides(round)) {
        const startMs = performance.now();
        const url = blobUrl(side, file.digest);
        await Promise.all(Array.from({ length: CLIENTS }, async () => await timeCurl(url, largeBytes)));
        found[`${side.name}Large`] = (performance.now() - startMs) / 1000;
      }
      for (const side of parts.sides(round)) {
        const digests = small.get(side.name) ?? [];
        const job = { origin: side.origin, repository: REPOSITORY, sizeBytes: smallBytes, connections: CLIENTS };
        found[`${side.name}Small`] = (await parts.client.run({ kind: 'pull', ...job, digests })).seconds;
      }
      return withRatios(found);
    };
    const rounds = await repeat(turns, measure, log);
    return resultOf(rounds, PULL_LARGE, PULL_SMALL);
  },
};

function planned(flags: Flags): {
  largeBytes: number;
  smallBytes: number;
  count: number;
  turns: { warmups: number; rounds: number };
} {
  return {
    largeBytes: flags.sizeBytes('blob', 1024 * MIB),
    smallBytes: flags.sizeBytes('small-blob', 100 * 1024),
    count: flags.count('blobs', 200),
    turns: { warmups: 1, rounds: flags.count('rounds', 5) },
  };
}

async function pushSmall(
  { client }: SeedNet,
  { origin }: Side,
  count: number,
  sizeBytes: number,
): Promise<{ seconds: number; digests: readonly string[] }> {
  return await client.run({ kind: 'push', origin, repository: REPOSITORY, count, sizeBytes, connections: CLIENTS });
}

function withRatios(found: Round): Round {
  const ratio = (size: string): number => (found[`registry${size}`] ?? NaN) / (found[`seed${size}`] ?? NaN);
  return { ...found, ratioLarge: ratio('Large'), ratioSmall: ratio('Small') };
}

function resultOf(rounds: readonly Round[], large: Target, small: Target): BenchResult {
  const figure = (target: Target, name: string): Figure => ({
    ...target,
    spread: spreadOf(rounds.map((round) => round[name] ?? NaN)),
  });
  return { figures: [figure(large, 'ratioLarge'), figure(small, 'ratioSmall')], skipped: [], details: { rounds } };
}
