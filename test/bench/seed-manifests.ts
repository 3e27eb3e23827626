/** A manifest that 64 connections ask for by its tag at once, as fast as they can: the seed against docker-registry. */
import { isInstalled, mustRun } from '../support/programs.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import { pushBlob, pushManifest } from '../support/docker-registry.ts';
import type { Bench, Target } from './bench.ts';
import { processorSeconds, REPOSITORY } from './bench-net.ts';
import { repeat } from './rounds.ts';
import { SeedNet, type Side } from './seed-net.ts';
import { spreadOf } from './spread.ts';

const CONNECTIONS = 64;
const LAYERS = 6;
const TAG = 'v1';

const TARGET: Target = {
  what: `GET of a manifest by tag from a seed, ${CONNECTIONS} connections: requests per second against docker-registry`,
  bound: { direction: 'at least', value: 1, unit: '×' },
};

export const seedManifests: Bench = {
  name: 'seed-manifests',
  summary: `wrk asks a seed for a manifest by tag over ${CONNECTIONS} connections, against docker-registry`,
  flags: {
    seconds: 'how long each side is asked in a round (5)',
    rounds: 'how often each side is measured (5)',
    profile: 'folder for CPU profiles of the seed',
  },
  targets: [TARGET],
  async run(flags, log) {
    if (!isInstalled('wrk'))
      return { figures: [], skipped: ['seed-manifests: wrk not installed: apt-get install wrk'], details: {} };
    const seconds = flags.seconds('seconds', 5);
    const turns = { warmups: 1, rounds: flags.count('rounds', 5) };
    await using parts = await SeedNet.open(flags.text('profile'));
    for (const side of parts.sides(0)) await pushImage(side);
    const measure = async (round: number): Promise<Record<string, number>> => {
      const found: Record<string, number> = {};
      for (const side of parts.sides(round)) {
        const before = await processorSeconds(parts.seed);
        found[side.name] = await requestsPerSecond(side, seconds);
        if (side.name === 'seed') found['seedProcessorSeconds'] = (await processorSeconds(parts.seed)) - before;
      }
      return { ...found, ratio: (found['seed'] ?? NaN) / (found['registry'] ?? NaN) };
    };
    const rounds = await repeat(turns, measure, log);
    const spread = spreadOf(rounds.map(({ ratio }) => ratio ?? NaN));
    return { figures: [{ ...TARGET, spread }], skipped: [], details: { seconds, rounds } };
  },
};

/** An image of small blobs under the tag. */
async function pushImage({ origin }: Side): Promise<void> {
  const blobs = Array.from({ length: LAYERS + 1 }, (_, index) => Buffer.from(`blob ${index}`));
  for (const bytes of blobs) await pushBlob(origin, REPOSITORY, bytes);
  const [config, ...layers] = blobs.map((bytes) => ({ digest: digestOf(bytes), size: bytes.length }));
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, ...config },
    layers: layers.map((layer) => ({ mediaType: MEDIA_TYPES.ociLayerGzip, ...layer })),
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  await pushManifest(origin, REPOSITORY, TAG, MEDIA_TYPES.ociManifest, bytes);
}

/** @throws {Error} when an answer was none, or no success */
async function requestsPerSecond({ origin }: Side, seconds: number): Promise<number> {
  const url = `${origin}/v2/${REPOSITORY}/manifests/${TAG}`;
  const accept = `Accept: ${MEDIA_TYPES.ociManifest}`;
  const told = await mustRun('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-H', accept, url]);
  const rate = /Requests\/sec: +([\d.]+)/.exec(told)?.[1];
  if (rate === undefined || /Non-2xx|Socket errors/.test(told)) throw new Error(`wrk tells of ${told}`);
  return Number(rate);
}
