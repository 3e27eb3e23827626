/** A blob that a node holds, served to curl, against docker-registry serving it to curl. */
import type { Bench, Target } from './bench.ts';
import { BenchNet, processorSeconds, timeCurl } from './bench-net.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const TARGET: Target = {
  what: 'held blob to curl: rate against docker-registry',
  bound: { direction: 'at least', value: 0.5, unit: '×' },
};

export const held: Bench = {
  name: 'held',
  summary: 'a held blob to curl, against docker-registry to curl',
  flags: {
    blob: 'size of the blob (1GiB)',
    rounds: 'how often each side is measured (7)',
    profile: 'folder for CPU profiles of the nodes',
  },
  targets: [TARGET],
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('blob', 1024 ** 3);
    await using net = await BenchNet.open(flags.text('profile'));
    const digest = await net.pushBlob(sizeBytes);
    const node = await net.startNode();
    await net.warm(node, digest);
    const turns = { warmups: 2, rounds: flags.count('rounds', 7) };
    const rounds = await repeat(
      turns,
      async () => {
        const registrySeconds = await timeCurl(net.registryUrl(digest), sizeBytes);
        const processorBefore = await processorSeconds(node);
        const nodeSeconds = await timeCurl(net.nodeUrl(node, digest), sizeBytes);
        const nodeProcessorSeconds = (await processorSeconds(node)) - processorBefore;
        return { registrySeconds, nodeSeconds, rateRatio: registrySeconds / nodeSeconds, nodeProcessorSeconds };
      },
      log,
    );
    const spread = spreadOf(rounds.map(({ rateRatio }) => rateRatio));
    return {
      figures: [{ ...TARGET, spread }],
      skipped: [],
      details: { sizeBytes, rounds },
    };
  },
};
