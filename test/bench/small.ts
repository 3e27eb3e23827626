/**
 * Many small blobs, one after the other from one client over a kept connection: what a node holds, what its peer holds, and
 * what nobody holds, against docker-registry serving the same blobs. Every blob is new to the node in its round. The home of
 * what the peer holds is the peer: had it been the node itself, the node would have read the blob when the peer asked for it.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { PeerReport } from '../../node/admin/reports.ts';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import type { Member } from '../../src/swarm/member.ts';
import { pushBlob } from '../support/docker-registry.ts';
import { randomBytes } from 'node:crypto';
import type { Bench, Bound, Figure, Target } from './bench.ts';
import { BenchNet, REPOSITORY, type BenchNode } from './bench-net.ts';
import { repeat } from './rounds.ts';
import { median, spreadOf } from './spread.ts';

const CLIENT = fileURLToPath(new URL('small-client.ts', import.meta.url));
const PUSHES_AT_ONCE = 8;

interface Round {
  readonly registryMs: number;
  readonly heldMs: number;
  readonly peerMs: number;
  readonly missMs: number;
}

const atMost = (value: number, unit: string): Bound => ({ direction: 'at most', value, unit });

const HELD: Target = { what: '10 KiB blob, held: p50 against docker-registry', bound: atMost(3, '×') };
const PEER: Target = { what: '10 KiB blob, from a peer: p50 against docker-registry', bound: atMost(12, '×') };
const MISS: Target = {
  what: '10 KiB blob, nobody holds it: p50 on top of docker-registry',
  bound: atMost(25, ' ms'),
};

const SOURCE: Target = {
  what: '10 KiB blobs whose home is the peer: bytes from there ÷ their size',
  bound: { direction: 'at least', value: 0.98, unit: '×' },
};

export const small: Bench = {
  name: 'small',
  summary: 'many 10 KiB blobs in turn: held, from a peer, from the origin, against docker-registry',
  flags: {
    'small-blob': 'size of each blob (10KiB)',
    blobs: 'blobs of each kind in a round (150)',
    'small-rounds': 'how often each is measured (7)',
    profile: 'folder for CPU profiles of the nodes',
  },
  targets: [HELD, PEER, MISS, SOURCE],
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('small-blob', 10 * 1024);
    const count = flags.count('blobs', 150);
    const turns = { warmups: 2, rounds: flags.count('small-rounds', 7) };
    await using net = await BenchNet.open(flags.text('profile'));
    const holder = await net.startNode();
    const node = await net.startNode({ bootstrap: holder });
    const homes = await Homes.of(node, holder);
    await using client = new SmallClient();
    const rounds = await repeat(
      turns,
      async () => await measureRound(net, { holder, node, homes }, client, { sizeBytes, count }),
      log,
    );
    const peerShare = await sharePromised(node, homes, 2 * count * (turns.warmups + turns.rounds), sizeBytes);
    const figures = [...figuresOf(rounds), { ...SOURCE, spread: spreadOf([peerShare]) }];
    return { figures, skipped: [], details: { sizeBytes, count, peerShare, rounds } };
  },
};

/** One series for each kind, on blobs that this round alone knows. */
async function measureRound(
  net: BenchNet,
  { holder, node, homes }: { holder: BenchNode; node: BenchNode; homes: Homes },
  client: SmallClient,
  { sizeBytes, count }: { sizeBytes: number; count: number },
): Promise<Round> {
  const known = await pushMany(net, count, () => homes.blobOfPeer(sizeBytes));
  const unknown = await pushMany(net, count, () => homes.blob(sizeBytes));
  await client.time(known.map((digest) => net.nodeUrl(holder, digest)));
  // Both sides of a pair read blobs that were read once before, so that neither meets a cold disk.
  await client.time([...known, ...unknown].map((digest) => net.registryUrl(digest)));
  const registryMs = median(await client.time(known.map((digest) => net.registryUrl(digest))));
  const heldMs = median(await client.time(known.map((digest) => net.nodeUrl(holder, digest))));
  const peerMs = median(await client.time(known.map((digest) => net.nodeUrl(node, digest))));
  const missMs = median(await client.time(unknown.map((digest) => net.nodeUrl(node, digest))));
  return { registryMs, heldMs, peerMs, missMs };
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const figure = (target: Target, of: (round: Round) => number): Figure => ({
    ...target,
    spread: spreadOf(rounds.map(of)),
  });
  return [
    figure(HELD, (round) => round.heldMs / round.registryMs),
    figure(PEER, (round) => round.peerMs / round.registryMs),
    figure(MISS, (round) => round.missMs - round.registryMs),
  ];
}

async function pushMany(net: BenchNet, count: number, make: () => Buffer): Promise<Digest[]> {
  const digests: Digest[] = [];
  while (digests.length < count) {
    const batch = Array.from({ length: Math.min(PUSHES_AT_ONCE, count - digests.length) }, make);
    digests.push(
      ...(await Promise.all(batch.map(async (bytes) => await pushBlob(net.registry.url, REPOSITORY, bytes)))),
    );
  }
  return digests;
}

/** Makes blobs, and counts those whose home is the peer. */
class Homes {
  readonly #members: readonly Member[];
  readonly #peerId: string;
  peerCount = 0;

  private constructor(members: readonly Member[], peerId: string) {
    this.#members = members;
    this.#peerId = peerId;
  }

  static async of(node: BenchNode, peer: BenchNode): Promise<Homes> {
    const reports = (await node.process.report('peers')) as readonly PeerReport[];
    const members = reports.map(({ peerId }) => ({ peerId, dataAddresses: [], topology: '' }));
    const ofPeer = (await peer.process.report('peers')) as readonly PeerReport[];
    return new Homes(members, ofPeer.find(({ isSelf }) => isSelf)?.peerId ?? '');
  }

  blob(sizeBytes: number): Buffer {
    const bytes = randomBytes(sizeBytes);
    if (this.#isPeers(bytes)) this.peerCount += 1;
    return bytes;
  }

  blobOfPeer(sizeBytes: number): Buffer {
    for (;;) {
      const bytes = randomBytes(sizeBytes);
      if (!this.#isPeers(bytes)) continue;
      this.peerCount += 1;
      return bytes;
    }
  }

  #isPeers(bytes: Buffer): boolean {
    return rankHomes(digestOf(bytes), this.#members, 1)[0]?.peerId === this.#peerId;
  }
}

/**
 * Of the blobs whose home is the peer, the share that came from it: whether it held them or read them as their home.
 * @throws {Error} when the node did not take in every blob once
 */
async function sharePromised(node: BenchNode, homes: Homes, count: number, sizeBytes: number): Promise<number> {
  const name = 'dockyard_received_bytes_total';
  const fromPeer = await node.process.metric(name, { source: 'peer' });
  const fromOrigin = await node.process.metric(name, { source: 'origin' });
  if (fromPeer + fromOrigin !== count * sizeBytes)
    throw new Error(`${fromPeer} bytes came from the peer and ${fromOrigin} from the origin, of ${count * sizeBytes}`);
  return fromPeer / (homes.peerCount * sizeBytes);
}

/** The client process; one series at a time. */
class SmallClient implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    this.#child = spawn(process.execPath, [CLIENT], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Milliseconds for each URL. */
  async time(urls: readonly string[]): Promise<number[]> {
    this.#child.stdin.write(`${urls.join(' ')}\n`);
    const answer = await this.#answers.next();
    if (answer.done === true) throw new Error('the client process ended');
    return JSON.parse(answer.value) as number[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }
}
