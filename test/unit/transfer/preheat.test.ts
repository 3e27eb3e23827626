import { describe, expect, test } from 'vitest';
import { pino } from 'pino';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { swarmError } from '../../../src/swarm/errors.ts';
import type { LinkMessage } from '../../../src/swarm/link/link-message.ts';
import type { Member } from '../../../src/swarm/member.ts';
import { transferError } from '../../../src/transfer/errors.ts';
import type { QuestionHandler } from '../../../src/transfer/exchange-hub.ts';
import type { FoundManifest } from '../../../src/transfer/manifest-ports.ts';
import { readImage } from '../../../src/transfer/preheat-image.ts';
import { chooseNodes } from '../../../src/transfer/preheat-nodes.ts';
import { Preheat, type PreheatImage, type PreheatProgress } from '../../../src/transfer/preheat.ts';
import { PreheatDesk, type PreheatDeskDeps } from '../../../src/transfer/preheat-desk.ts';
import { parsePreheatAnswer, parsePreheatQuestion } from '../../../src/transfer/preheat-wire.ts';
import { impatientClock } from '../origin/origin-fixture.ts';

const REPOSITORY = { upstream: 'seed.lan', name: parseRepositoryName('team/app') };
const BLOBS = ['a', 'b', 'c', 'd', 'e', 'f'].map((text) => ({ digest: digestOf(Buffer.from(text)), sizeBytes: 1000 }));
const IMAGE: PreheatImage = { repository: REPOSITORY, digest: digestOf(Buffer.from('m')), manifests: [], blobs: BLOBS };
const signal = new AbortController().signal;

function member(peerId: string, host: string, topology = ''): Member {
  return { peerId, dataAddresses: [{ host, port: 5003 }], topology };
}

/** A node that fetches when it is told to go on. */
class FakeNode {
  readonly held = new Set<Digest>();
  readonly opened: Digest[] = [];
  readonly failing = new Map<Digest, Error>();
  nowMs = 0;
  /** Blobs that come and are not kept. */
  isFull = false;
  #gate = Promise.withResolvers<void>();
  readonly desk: PreheatDesk;
  handler: QuestionHandler = () => Promise.reject(new Error('nobody answers'));

  constructor() {
    const open: PreheatDeskDeps['blobs']['open'] = async (digest, context) => {
      this.opened.push(digest);
      const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
      context.signal.addEventListener('abort', () => stop(new Error('stopped')), { once: true });
      await Promise.race([this.#gate.promise, stopped]);
      const failure = this.failing.get(digest);
      if (failure !== undefined) throw failure;
      if (!this.isFull) this.held.add(digest);
      const close = async (): Promise<void> => await Promise.resolve();
      async function* read(): AsyncGenerator<Uint8Array> {
        yield await Promise.resolve(Buffer.alloc(1000));
      }
      return { digest, sizeBytes: 1000, read, recycle: () => undefined, close, [Symbol.asyncDispose]: close };
    };
    this.desk = new PreheatDesk({
      hub: { answer: (_method, handler) => void (this.handler = handler) },
      store: { stat: (digest) => (this.held.has(digest) ? ({ digest, sizeBytes: 1000 } as never) : undefined) },
      blobs: { open, progress: () => undefined, settled: async () => await Promise.resolve() },
      nowMs: () => this.nowMs,
      log: pino({ level: 'silent' }),
    });
  }

  goOn(): void {
    this.#gate.resolve();
  }

  async ask(value: unknown): Promise<LinkMessage> {
    const { value: answer } = await this.handler('peer', { value, bytes: Buffer.alloc(0) });
    return { value: answer, bytes: Buffer.alloc(0) };
  }
}

const states = (node: FakeNode, isWanted = true): string[] =>
  node.desk.answer({ repository: REPOSITORY, blobs: BLOBS, isWanted }).map(({ state }) => state);

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
}

describe('a node that is asked to preheat', () => {
  test('fetches a few at a time, and says how it stands', async () => {
    const node = new FakeNode();
    await using _desk = node.desk;
    expect(states(node, false)).toEqual(BLOBS.map(() => 'absent'));
    expect(node.opened).toEqual([]);
    expect(states(node)).toEqual(BLOBS.map(() => 'coming'));
    expect(states(node)).toEqual(BLOBS.map(() => 'coming'));
    expect(node.opened).toHaveLength(4);
    node.goOn();
    await settle();
    expect(states(node)).toEqual(BLOBS.map(() => 'held'));
    expect(node.opened).toEqual(BLOBS.map(({ digest }) => digest));
  });

  test('tells a failure once, and tries again when it is asked again', async () => {
    const node = new FakeNode();
    await using _desk = node.desk;
    const [first] = BLOBS;
    if (first !== undefined) node.failing.set(first.digest, transferError('ERR_TRANSFER_UNAVAILABLE', 'nobody has it'));
    node.goOn();
    states(node);
    await settle();
    const answer = node.desk.answer({ repository: REPOSITORY, blobs: BLOBS.slice(0, 1), isWanted: true });
    expect(answer).toEqual([
      { state: 'failed', heldBytes: 0, code: 'ERR_TRANSFER_UNAVAILABLE', message: 'nobody has it' },
    ]);
    node.failing.clear();
    states(node);
    await settle();
    expect(states(node)[0]).toBe('held');
  });

  test('says of what came and could not be kept that it failed', async () => {
    const node = new FakeNode();
    await using _desk = node.desk;
    node.isFull = true;
    node.goOn();
    states(node);
    await settle();
    const [answer] = node.desk.answer({ repository: REPOSITORY, blobs: BLOBS.slice(0, 1), isWanted: true });
    expect(answer).toMatchObject({ state: 'failed', code: 'ERR_PREHEAT_NOT_KEPT' });
  });

  test('refuses more than it may have waiting', async () => {
    const node = new FakeNode();
    await using _desk = node.desk;
    const many = Array.from({ length: 4097 }, (_, at) => ({
      digest: digestOf(Buffer.from([at >> 8, at])),
      sizeBytes: 1,
    }));
    expect(() => node.desk.answer({ repository: REPOSITORY, blobs: many, isWanted: true })).toThrow(
      /wait to be preheated/,
    );
  });

  test.each([
    {},
    { upstream: 'x', name: '../x', blobs: [] },
    { upstream: 'x', name: 'a', blobs: 'all' },
    { upstream: 'x', name: 'a', blobs: Array.from({ length: 257 }, () => ({})) },
    { upstream: 'x', name: 'a', blobs: [{ digest: 'md5:1' }] },
    { upstream: 'x'.repeat(256), name: 'a', blobs: [] },
  ])('refuses a question that makes no sense: %#', (question) => {
    expect(() => parsePreheatQuestion(question)).toThrow();
  });

  test.each([{}, { blobs: [] }, { blobs: [{ state: 'eaten' }] }, { blobs: [null] }])(
    'is not believed when it answers nonsense: %#',
    (answer) => {
      expect(() => parsePreheatAnswer(answer, 1)).toThrow();
    },
  );
});

describe('preheating', () => {
  function makePreheat(nodes: Readonly<Record<string, FakeNode | Error>>): { preheat: Preheat; members: Member[] } {
    const members = Object.keys(nodes).map((peerId, index) => member(peerId, `10.0.0.${index}`));
    const self = member('self', '10.1.0.1');
    const ask = async ({ peerId }: { peerId: string }, _method: string, value: unknown): Promise<LinkMessage> => {
      const node = nodes[peerId];
      if (node instanceof FakeNode) return await node.ask(JSON.parse(JSON.stringify(value)));
      throw node ?? new Error('no such node');
    };
    const preheat = new Preheat({
      members: { self, alive: () => [self, ...members], get: () => undefined, reportUnreachable: () => undefined },
      peers: { ask },
      manifests: { giveManifest: async () => await Promise.resolve() },
      desk: { answer: () => [] },
      clock: impatientClock(),
    });
    return { preheat, members };
  }

  test('tells of each node when it is done, and of those that fail why', async () => {
    const [good, broken] = [new FakeNode(), new FakeNode()];
    await using _good = good.desk;
    await using _broken = broken.desk;
    const [first] = BLOBS;
    if (first !== undefined) broken.failing.set(first.digest, transferError('ERR_TRANSFER_BROKEN', 'all lied'));
    for (const node of [good, broken]) node.goOn();
    const gone = swarmError('ERR_LINK_TIMEOUT', 'silent');
    const old = swarmError('ERR_LINK_PROTOCOL', "the question 'preheat' is not known here");
    const { preheat, members } = makePreheat({ good, broken, gone, old });
    const last = new Map<string, PreheatProgress>();
    for await (const progress of preheat.run(IMAGE, members, { signal })) last.set(progress.peerId, progress);
    expect(last.get('good')).toMatchObject({ state: 'done', heldBlobs: 6, heldBytes: 6000 });
    expect(last.get('broken')).toMatchObject({ state: 'failed', heldBlobs: 5, code: 'ERR_TRANSFER_BROKEN' });
    expect(last.get('gone')).toMatchObject({ state: 'failed', code: 'ERR_LINK_TIMEOUT' });
    expect(last.get('old')).toMatchObject({ state: 'failed', code: 'ERR_LINK_PROTOCOL' });
    expect(await preheat.isHeld(IMAGE, member('good', ''), { signal })).toBe(true);
    expect(await preheat.isHeld(IMAGE, member('broken', ''), { signal })).toBe(false);
  });

  test('ends when it is told to', async () => {
    const slow = new FakeNode();
    await using _desk = slow.desk;
    const { preheat, members } = makePreheat({ slow });
    const stop = new AbortController();
    const seen: string[] = [];
    const ended = (async () => {
      for await (const { state } of preheat.run(IMAGE, members, { signal: stop.signal })) {
        seen.push(state);
        stop.abort(new Error('enough'));
      }
    })();
    await expect(ended).rejects.toThrow('enough');
    expect(seen).toEqual(['running']);
  });
});

describe('the nodes that a person means', () => {
  const nodes = [
    member('12D3KooWabcdef', '10.0.0.1', 'zone-a/rack-1'),
    member('12D3KooWghijkl', '10.0.0.2', 'zone-a/rack-2'),
    member('12D3KooWmnopqr', 'fd00::1', 'zone-ab'),
  ];
  test.each<[string[], number[]]>([
    [[], [0, 1, 2]],
    [['10.0.0.2'], [1]],
    [
      ['10.0.0.1:5003', '[fd00::1]:5003'],
      [0, 2],
    ],
    [['ghijkl'], [1]],
    [['zone-a'], [0, 1]],
    [
      ['zone-a', '10.0.0.1'],
      [0, 1],
    ],
  ])('%j', (names, expected) => {
    expect(chooseNodes(nodes, names)).toEqual(expected.map((index) => nodes[index]));
  });

  test.each(['10.0.0.9', 'def', 'zone', ''])('%j is nobody', (name) => {
    expect(() => chooseNodes(nodes, [name])).toThrow(`no live node is called '${name}'`);
  });
});

describe('what an image is made of', () => {
  const config = digestOf(Buffer.from('{}'));
  const layer = (text: string): object => ({
    mediaType: MEDIA_TYPES.ociLayerGzip,
    digest: digestOf(Buffer.from(text)),
    size: 1,
  });
  const found = (mediaType: string, document: object): FoundManifest => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
    return { digest: digestOf(bytes), mediaType, bytes };
  };
  const image = (...layers: object[]): FoundManifest =>
    found(MEDIA_TYPES.ociManifest, { config: { mediaType: MEDIA_TYPES.ociConfig, digest: config, size: 2 }, layers });
  const [amd, arm] = [image(layer('shared'), layer('amd')), image(layer('shared'), layer('arm'))];
  const entry = ({ digest, mediaType, bytes }: FoundManifest, architecture: string): object => ({
    digest,
    mediaType,
    size: bytes.length,
    platform: { os: 'linux', architecture },
  });
  const index = found(MEDIA_TYPES.ociIndex, { manifests: [entry(amd, 'amd64'), entry(arm, 'arm64')] });
  const find = async (reference: { kind: string; digest?: string }): Promise<FoundManifest | undefined> =>
    await Promise.resolve(
      reference.kind === 'tag' ? index : [amd, arm].find(({ digest }) => digest === reference.digest),
    );
  const reference = { kind: 'tag', tag: 'v1' as never } as const;

  test('all platforms, each blob once', async () => {
    const read = await readImage(find, { repository: REPOSITORY, reference, platforms: [] }, signal);
    expect(read.digest).toBe(index.digest);
    expect(read.manifests).toEqual([index, amd, arm]);
    expect(read.blobs).toHaveLength(4);
  });

  test('or one platform', async () => {
    const read = await readImage(find, { repository: REPOSITORY, reference, platforms: ['linux/arm64'] }, signal);
    expect(read.manifests).toEqual([index, arm]);
    expect(read.blobs).toHaveLength(3);
  });

  test('an index that lacks a part is told as such', async () => {
    const lacking: typeof find = async (wanted) => (wanted.kind === 'tag' ? await find(wanted) : undefined);
    const reading = readImage(lacking, { repository: REPOSITORY, reference, platforms: [] }, signal);
    await expect(reading).rejects.toMatchObject({ code: 'ERR_PREHEAT_UNKNOWN' });
  });
});
