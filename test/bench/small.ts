/**
 * Many small blobs, one after the other from one client over a kept connection: what a node holds, what its peer holds, and
 * what nobody holds, against docker-registry serving the same blobs. Every blob is new to the node in its round.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Digest } from '../../src/oci/digest.ts';
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

export const small: Bench = {
  name: 'small',
  summary: 'many 10 KiB blobs in turn: held, from a peer, from the origin, against docker-registry',
  flags: {
    'small-blob': 'size of each blob (10KiB)',
    blobs: 'blobs of each kind in a round (150)',
    'small-rounds': 'how often each is measured (7)',
    profile: 'folder for CPU profiles of the nodes',
  },
  targets: [HELD, PEER, MISS],
  async run(flags, log) {
    const sizeBytes = flags.sizeBytes('small-blob', 10 * 1024);
    const count = flags.count('blobs', 150);
    const turns = { warmups: 2, rounds: flags.count('small-rounds', 7) };
    await using net = await BenchNet.open(flags.text('profile'));
    const holder = await net.startNode();
    const node = await net.startNode({ bootstrap: holder });
    await using client = new SmallClient();
    const rounds = await repeat(
      turns,
      async () => await measureRound(net, { holder, node }, client, { sizeBytes, count }),
      log,
    );
    await expectSources(node, count * (turns.warmups + turns.rounds) * sizeBytes);
    return { figures: figuresOf(rounds), skipped: [], details: { sizeBytes, count, rounds } };
  },
};

/** One series for each kind, on blobs that this round alone knows. */
async function measureRound(
  net: BenchNet,
  { holder, node }: { holder: BenchNode; node: BenchNode },
  client: SmallClient,
  { sizeBytes, count }: { sizeBytes: number; count: number },
): Promise<Round> {
  const known = await pushMany(net, count, sizeBytes);
  const unknown = await pushMany(net, count, sizeBytes);
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

async function pushMany(net: BenchNet, count: number, sizeBytes: number): Promise<Digest[]> {
  const digests: Digest[] = [];
  while (digests.length < count) {
    const batch = Array.from({ length: Math.min(PUSHES_AT_ONCE, count - digests.length) }, () =>
      randomBytes(sizeBytes),
    );
    digests.push(
      ...(await Promise.all(batch.map(async (bytes) => await pushBlob(net.registry.url, REPOSITORY, bytes)))),
    );
  }
  return digests;
}

/**
 * What the peer held came from the peer, but for the few blobs whose home is the node itself and had not yet heard of it.
 * What nobody held came from the origin, or from the peer, which read it there as the home of the blob.
 * @throws {Error} when that is not so
 */
async function expectSources(node: BenchNode, expectedBytes: number): Promise<void> {
  const name = 'dockyard_received_bytes_total';
  const fromPeer = await node.process.metric(name, { source: 'peer' });
  const fromOrigin = await node.process.metric(name, { source: 'origin' });
  if (fromPeer >= 0.9 * expectedBytes && fromPeer + fromOrigin === 2 * expectedBytes) return;
  throw new Error(`${fromPeer} bytes came from the peer and ${fromOrigin} from the origin, of ${expectedBytes} each`);
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
