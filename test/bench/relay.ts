/**
 * A blob through a node that has nothing, whose peer is the only holder, against curl piped to `openssl dgst -sha256` from
 * docker-registry. The node is a fresh process with an empty folder in every round.
 */
import { pieceGeometry } from '../../src/content/geometry.ts';
import type { Bench, Target } from './bench.ts';
import { BenchNet, deadUrl, processorSeconds, timeCommand, timeCurl, type BenchNode } from './bench-net.ts';
import { MemoryAtHand } from './memory-at-hand.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const TARGET: Target = {
  what: 'blob from a peer to curl: rate against curl | openssl dgst',
  bound: { direction: 'at least', value: 0.5, unit: '×' },
};

const PROCESSOR_TARGET: Target = {
  what: 'processor seconds of a node per GB relayed: received, verified, kept, sent on once',
  bound: { direction: 'at most', value: 3.5, unit: ' s' },
};

/** Of what the node writes, so much memory is at hand. */
const MEMORY_SHARE = 1.2;

export const relay: Bench = {
  name: 'relay',
  summary: 'a blob from the only holder through a cold node, against curl | openssl dgst -sha256 from docker-registry',
  flags: {
    blob: 'size of the blob (1GiB)',
    rounds: 'how often each side is measured (5)',
    profile: 'folder for CPU profiles of the nodes',
  },
  targets: [TARGET, PROCESSOR_TARGET],
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('blob', 1024 ** 3);
    await using net = await BenchNet.open(flags.text('profile'));
    const digest = await net.pushBlob(sizeBytes);
    const holder = await net.startNode();
    await net.warm(holder, digest);
    const upstreamUrl = await deadUrl();
    let before: BenchNode | undefined;
    const rounds = await repeat(
      { warmups: 1, rounds: flags.count('rounds', 5) },
      async () => {
        const node = await net.startNode({ upstreamUrl, bootstrap: holder });
        const dgst = `curl -sf '${net.registryUrl(digest)}' | openssl dgst -sha256`;
        const registrySeconds = await timeCommand(dgst, digest.slice('sha256:'.length));
        if (before !== undefined) await net.removeFiles(before);
        await using _memory = await MemoryAtHand.open(
          sizeBytes * MEMORY_SHARE,
          pieceGeometry(sizeBytes).pieceSizeBytes,
        );
        const processorBefore = { node: await processorSeconds(node), holder: await processorSeconds(holder) };
        const nodeSeconds = await timeCurl(net.nodeUrl(node, digest), sizeBytes);
        const nodeProcessorSeconds = (await processorSeconds(node)) - processorBefore.node;
        const holderProcessorSeconds = (await processorSeconds(holder)) - processorBefore.holder;
        await expectFromPeer(node, sizeBytes);
        await net.stopNode(node);
        before = node;
        const rateRatio = registrySeconds / nodeSeconds;
        return { registrySeconds, nodeSeconds, rateRatio, nodeProcessorSeconds, holderProcessorSeconds };
      },
      log,
    );
    const spread = spreadOf(rounds.map(({ rateRatio }) => rateRatio));
    return {
      figures: [
        { ...TARGET, spread },
        {
          ...PROCESSOR_TARGET,
          spread: spreadOf(rounds.map(({ nodeProcessorSeconds }) => (nodeProcessorSeconds * 1e9) / sizeBytes)),
        },
      ],
      skipped: [],
      details: { sizeBytes, rounds },
    };
  },
};

/** @throws {Error} when the node did not take in so many bytes from peers, give or take what arrived twice */
async function expectFromPeer(node: BenchNode, sizeBytes: number): Promise<void> {
  const fromPeers = await node.process.metric('dockyard_received_bytes_total', { source: 'peer' });
  if (fromPeers < sizeBytes) throw new Error(`only ${fromPeers} of ${sizeBytes} bytes came from the peer`);
}
