/** The most memory that a node has resident while it relays several blobs from a peer to as many clients at once. */
import type { Digest } from '../../src/oci/digest.ts';
import type { Bench, Target } from './bench.ts';
import { BenchNet, deadUrl, peakResidentBytes, timeCommand, type BenchNode } from './bench-net.ts';
import type { Flags } from './flags.ts';
import { repeat } from './rounds.ts';
import { spreadOf } from './spread.ts';

const MIB = 1024 ** 2;

/** How many blobs, and what is promised. */
interface MemoryKind {
  readonly name: string;
  readonly blobs: number;
  readonly target: Target;
  readonly rounds: number;
}

/** Four at once, as a client that pulls an image asks for layers. */
export const memory: Bench = memoryBench({
  name: 'memory',
  blobs: 4,
  target: {
    what: 'resident memory of a node relaying four blobs',
    bound: { direction: 'at most', value: 250, unit: ' MiB' },
  },
  rounds: 3,
});

/** Eight at once, as several clients of one host do. */
export const crowdMemory: Bench = memoryBench({
  name: 'crowd-memory',
  blobs: 8,
  target: {
    what: 'resident memory of a node relaying eight blobs',
    bound: { direction: 'at most', value: 300, unit: ' MiB' },
  },
  rounds: 1,
});

function memoryBench({ name, blobs, target, rounds }: MemoryKind): Bench {
  return {
    name,
    summary: `peak resident memory of a node that relays ${blobs} blobs at once`,
    flags: {
      blob: 'size of each blob (1GiB)',
      rounds: `how many fresh nodes are measured (${rounds})`,
      profile: 'folder for CPU profiles of the nodes',
    },
    targets: [target],
    run: async (flags, log) => {
      const sizeBytes = flags.sizeBytes('blob', 1024 ** 3);
      const measured = await measureNodes({ blobs, sizeBytes, rounds: flags.count('rounds', rounds) }, flags, log);
      const spread = spreadOf(measured.map(({ peakMiB }) => peakMiB));
      return { figures: [{ ...target, spread }], skipped: [], details: { blobs, sizeBytes, rounds: measured } };
    },
  };
}

interface Round {
  readonly peakMiB: number;
  readonly idleMiB: number;
  readonly holderPeakMiB: number;
  readonly seconds: number;
}

async function measureNodes(
  plan: { readonly blobs: number; readonly sizeBytes: number; readonly rounds: number },
  flags: Flags,
  log: (line: string) => void,
): Promise<Round[]> {
  const { blobs, sizeBytes } = plan;
  await using net = await BenchNet.open(flags.text('profile'));
  const holder = await net.startNode();
  const digests: Digest[] = [];
  while (digests.length < blobs) {
    const digest = await net.pushBlob(sizeBytes);
    await net.warm(holder, digest);
    digests.push(digest);
  }
  const upstreamUrl = await deadUrl();
  let before: BenchNode | undefined;
  const measure = async (): Promise<Round> => {
    const node = await net.startNode({ upstreamUrl, bootstrap: holder });
    if (before !== undefined) await net.removeFiles(before);
    const idleMiB = (await peakResidentBytes(node)) / MIB;
    const startMs = performance.now();
    // Hashed at the client, so that bytes that are wrong are no success.
    const pulls = digests.map(async (digest) => {
      const dgst = `curl -sf '${net.nodeUrl(node, digest)}' | openssl dgst -sha256`;
      return await timeCommand(dgst, digest.slice('sha256:'.length));
    });
    await Promise.all(pulls);
    const seconds = (performance.now() - startMs) / 1000;
    const peakMiB = (await peakResidentBytes(node)) / MIB;
    const holderPeakMiB = (await peakResidentBytes(holder)) / MIB;
    await net.stopNode(node);
    before = node;
    return { peakMiB, idleMiB, holderPeakMiB, seconds };
  };
  return await repeat({ warmups: 0, rounds: plan.rounds }, measure, log);
}
