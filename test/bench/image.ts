/**
 * An image pulled by real clients through a node whose peer holds it, against the same pull straight from docker-registry.
 * The client and the node are without the image in every round.
 */
import { pieceGeometry } from '../../src/content/geometry.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { makeRandomImage, layerBytes, pushImage, type Image } from '../support/image-builder.ts';
import { isInstalled } from '../support/programs.ts';
import type { Bench, Bound, Figure } from './bench.ts';
import { BenchNet, REPOSITORY, UPSTREAM, type BenchNode } from './bench-net.ts';
import { IMAGE_CLIENTS, type ImageClient } from './image-clients.ts';
import { onInterruption } from './interruption.ts';
import { MemoryAtHand } from './memory-at-hand.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const MIB = 1024 ** 2;
const LAYERS = 4;
const TAG = 'bench';
/** Of what the node writes, so much memory is at hand. */
const MEMORY_SHARE = 1.2;

interface Round {
  readonly registrySeconds: number;
  readonly nodeSeconds: number;
  readonly timeRatio: number;
}

const BOUND: Bound = { direction: 'at most', value: 1.25, unit: '×' };

function titleOf(clientName: string): string {
  return `${clientName} through a node whose peer holds it: time against docker-registry`;
}

export const image: Bench = {
  name: 'image',
  summary: `docker pull and ctr images pull of ${LAYERS} layers through a node whose peer holds them, against docker-registry`,
  flags: {
    layer: 'size of each layer (100MiB)',
    'image-rounds': 'how often each side is measured (5)',
    profile: 'folder for CPU profiles of the nodes',
    'warm-up': 'size of another blob that the node pulls before, or `none` for a fresh process (64MiB)',
  },
  targets: IMAGE_CLIENTS.map(({ name }) => ({ what: titleOf(name), bound: BOUND })),
  async run(flags, log) {
    const skipped = IMAGE_CLIENTS.filter(({ unmet }) => unmet !== undefined).map(
      ({ name, unmet }) => `${name}: ${unmet}`,
    );
    const clients = isInstalled('skopeo') ? IMAGE_CLIENTS.filter(({ unmet }) => unmet === undefined) : [];
    if (!isInstalled('skopeo')) skipped.push('image: skopeo not installed: apt-get install skopeo');
    if (clients.length === 0) return { figures: [], skipped, details: {} };
    await using net = await BenchNet.open(flags.text('profile'));
    const pulled = makeRandomImage(...Array.from({ length: LAYERS }, () => flags.sizeBytes('layer', 100 * MIB)));
    await pushImage(`127.0.0.1:${net.registry.port}/${REPOSITORY}:${TAG}`, pulled);
    const holder = await net.startNode();
    for (const { digest } of [pulled.config, ...pulled.layers]) await net.warm(holder, digest);
    const warmUpBytes = flags.text('warm-up') === 'none' ? 0 : flags.sizeBytes('warm-up', 64 * MIB);
    const warmUp = warmUpBytes > 0 ? await net.pushBlob(warmUpBytes) : undefined;
    if (warmUp !== undefined) await net.warm(holder, warmUp);
    const turns = { warmups: 1, rounds: flags.count('image-rounds', 5) };
    const figures: Figure[] = [];
    const details: Record<string, readonly Round[]> = {};
    for (const choice of clients) {
      log(`  ${choice.name}`);
      await using client = await choice.open();
      using _undone = onInterruption(async () => await client[Symbol.asyncDispose]());
      const measure = measureWith(net, client, { holder, image: pulled, warmUp });
      const rounds = await repeat(turns, measure, log);
      details[choice.name] = rounds;
      figures.push({
        what: titleOf(choice.name),
        bound: BOUND,
        spread: spreadOf(rounds.map(({ timeRatio }) => timeRatio)),
      });
    }
    return { figures, skipped, details };
  },
};

function measureWith(
  net: BenchNet,
  client: ImageClient,
  source: { holder: BenchNode; image: Image; warmUp: Digest | undefined },
): () => Promise<Round> {
  return async () => {
    const node = await net.startNode({ bootstrap: source.holder });
    if (source.warmUp !== undefined) await net.warm(node, source.warmUp);
    const peerBytes = async (): Promise<number> =>
      await node.process.metric('dockyard_received_bytes_total', { source: 'peer' });
    const peerBytesBefore = await peerBytes();
    const registrySeconds = await timePull(client, `127.0.0.1:${net.registry.port}/${REPOSITORY}:${TAG}`);
    await using _memory = await MemoryAtHand.open(
      layerBytes(source.image) * MEMORY_SHARE,
      pieceGeometry(layerBytes(source.image) / LAYERS).pieceSizeBytes,
    );
    const nodeSeconds = await timePull(client, `${node.process.facade}/${UPSTREAM}/${REPOSITORY}:${TAG}`);
    const fromPeer = (await peerBytes()) - peerBytesBefore;
    if (fromPeer < layerBytes(source.image)) throw new Error(`only ${fromPeer} bytes came from the peer`);
    await net.stopNode(node);
    await net.removeFiles(node);
    return { registrySeconds, nodeSeconds, timeRatio: nodeSeconds / registrySeconds };
  };
}

async function timePull(client: ImageClient, reference: string): Promise<number> {
  const startMs = performance.now();
  await client.pull(reference);
  const seconds = (performance.now() - startMs) / 1000;
  await client.forget(reference);
  return seconds;
}
