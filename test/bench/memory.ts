/** The most memory that a node has resident while it relays four blobs from a peer to four clients at once. */
import type { Digest } from '../../src/oci/digest.ts';
import type { Bench } from './bench.ts';
import { BenchNet, deadUrl, peakResidentBytes, timeCurl, type BenchNode } from './bench-net.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const MIB = 1024 ** 2;
const BLOBS = 4;

export const memory: Bench = {
  name: 'memory',
  summary: 'peak resident memory of a node that relays four blobs at once',
  flags: {
    blob: 'size of each blob (1GiB)',
    rounds: 'how many fresh nodes are measured (3)',
    profile: 'folder for CPU profiles of the nodes',
  },
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('blob', 1024 ** 3);
    await using net = await BenchNet.open(flags.text('profile'));
    const holder = await net.startNode();
    const digests: Digest[] = [];
    for (let index = 0; index < BLOBS; index += 1) {
      const digest = await net.pushBlob(sizeBytes);
      await net.warm(holder, digest);
      digests.push(digest);
    }
    const upstreamUrl = await deadUrl();
    let before: BenchNode | undefined;
    const rounds = await repeat(
      { warmups: 0, rounds: flags.count('rounds', 3) },
      async () => {
        const node = await net.startNode({ upstreamUrl, bootstrap: holder });
        if (before !== undefined) await net.removeFiles(before);
        const idleMiB = (await peakResidentBytes(node)) / MIB;
        const startMs = performance.now();
        await Promise.all(digests.map(async (digest) => await timeCurl(net.nodeUrl(node, digest), sizeBytes)));
        const seconds = (performance.now() - startMs) / 1000;
        const peakMiB = (await peakResidentBytes(node)) / MIB;
        const holderPeakMiB = (await peakResidentBytes(holder)) / MIB;
        await net.stopNode(node);
        before = node;
        return { peakMiB, idleMiB, holderPeakMiB, seconds };
      },
      log,
    );
    const spread = spreadOf(rounds.map(({ peakMiB }) => peakMiB));
    const bound = { direction: 'at most', value: 250, unit: ' MiB' } as const;
    return {
      figures: [{ what: 'resident memory of a node relaying four blobs', bound, spread }],
      skipped: [],
      details: { sizeBytes, rounds },
    };
  },
};
