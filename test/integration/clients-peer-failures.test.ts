/**
 * A peer fails in the middle of a layer, and the client sees nothing of it: the rest comes from elsewhere, inside the same
 * response. Lines are slow on purpose, so that there is a middle.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { rankHomes } from '../../src/swarm/home.ts';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import { blobsOf, makeRandomImage, type Image } from '../support/image-builder.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { until } from '../support/programs.ts';
import type { ReadOutcome, StreamingRead } from '../support/streaming-read.ts';
import {
  ClientsLab,
  LAYER_BYTES,
  MAX_SILENCE_MS,
  requireLab,
  SLOW_BYTES_PER_SECOND,
  SLOW_UPLOAD,
  UPSTREAM,
  type PushedImage,
} from './clients-lab.ts';

const hasLab = requireLab();
const hasContainerd = requireContainerd();

describe.skipIf(!hasLab)('in the middle of a layer', () => {
  let lab: ClientsLab;

  beforeAll(async () => {
    lab = await ClientsLab.open();
  });

  afterEach(async () => {
    await lab.reset();
  });

  afterAll(async () => {
    await lab?.close();
  });

  async function expectWhole(read: StreamingRead, { layer }: PushedImage): Promise<ReadOutcome> {
    const outcome = await read.outcome();
    expect(outcome, read.stderr).toMatchObject({ exitCode: 0, sha256: layer.digest });
    expect(outcome.longestSilenceMs).toBeLessThan(MAX_SILENCE_MS);
    return outcome;
  }

  async function receivedBytes(node: NodeProcess, source: 'peer' | 'origin'): Promise<number> {
    return await node.metric('dockyard_received_bytes_total', { source });
  }

  /** An image whose layer has this node for its home. */
  async function makeImageAtHome(node: NodeProcess): Promise<Image> {
    const peers = (await node.report('peers')) as { peerId: string }[];
    const members = peers.map(({ peerId }) => ({ peerId, dataAddresses: [], topology: '' }));
    const { peerId } = (await node.logged('node started')) as { peerId: string };
    for (;;) {
      const image = makeRandomImage(LAYER_BYTES);
      const [layer] = image.layers;
      if (layer !== undefined && rankHomes(layer.digest, members, 1)[0]?.peerId === peerId) return image;
    }
  }

  test.each(['SIGKILL', 'SIGSTOP'] as const)(
    'a holder gets %s: the rest comes from the origin in the same response',
    async (signal) => {
      const pushed = await lab.pushNew();
      const holder = await lab.startNode(...SLOW_UPLOAD);
      await lab.fetchLayer(holder, pushed);
      const node = await lab.startNode();
      const passedBefore = lab.line.passedBytes;
      await using read = lab.read(node, pushed);
      await read.untilBytes(LAYER_BYTES / 4);
      read.forgetSilence();
      holder.child.kill(signal);
      await expectWhole(read, pushed);
      expect(await receivedBytes(node, 'peer')).toBeGreaterThan(LAYER_BYTES / 5);
      expect(lab.line.passedBytes - passedBefore).toBeLessThan(pushed.layer.bytes.length * 0.9);
    },
  );

  test('one of two holders is killed with the origin gone: the rest comes from the other', async () => {
    const pushed = await lab.pushNew();
    const first = await lab.startNode(...SLOW_UPLOAD);
    const second = await lab.startNode(...SLOW_UPLOAD);
    await lab.fetchLayer(first, pushed);
    await lab.fetchLayer(second, pushed);
    await lab.withoutRegistry(async () => {
      const node = await lab.startNode();
      await using read = lab.read(node, pushed);
      await read.untilBytes(LAYER_BYTES / 4);
      read.forgetSilence();
      first.child.kill('SIGKILL');
      await expectWhole(read, pushed);
      expect(await receivedBytes(node, 'peer')).toBe(pushed.layer.bytes.length);
    });
  });

  test.each(['SIGKILL', 'SIGSTOP'] as const)(
    'the node that reads the origin for others gets %s: another reads on where it was',
    async (signal) => {
      const home = await lab.startNode();
      const node = await lab.startNode();
      const pushed = await lab.pushNew(await makeImageAtHome(home));
      lab.line.setRate(SLOW_BYTES_PER_SECOND);
      const passedBefore = lab.line.passedBytes;
      await using read = lab.read(node, pushed);
      await read.untilBytes(LAYER_BYTES / 2);
      expect(await receivedBytes(node, 'origin')).toBe(0);
      read.forgetSilence();
      home.child.kill(signal);
      await expectWhole(read, pushed);
      expect(await receivedBytes(node, 'origin')).toBeGreaterThan(0);
      // For a stopped process the system goes on receiving, so that the line tells nothing of what was asked twice.
      if (signal === 'SIGSTOP') return;
      expect(lab.line.passedBytes - passedBefore).toBeLessThan(pushed.layer.bytes.length * 1.3);
    },
  );

  test('the node that reads the origin is stopped while it owes pieces: those are read first, the rest after them', async () => {
    const home = await lab.startNode('--transfer-upload-rate', `${SLOW_BYTES_PER_SECOND / 4}`);
    const node = await lab.startNode();
    const pushed = await lab.pushNew(await makeImageAtHome(home));
    lab.line.setRate(SLOW_BYTES_PER_SECOND);
    await using read = lab.read(node, pushed);
    await until('the home is far ahead', async () => (await receivedBytes(home, 'origin')) > LAYER_BYTES * 0.4);
    expect(read.sizeBytes).toBeLessThan(LAYER_BYTES / 4);
    // What the home has not announced now takes longer than a client may wait.
    lab.line.setRate(SLOW_BYTES_PER_SECOND / 2);
    read.forgetSilence();
    home.child.kill('SIGSTOP');
    await expectWhole(read, pushed);
  });

  test.skipIf(!hasContainerd)('a holder is killed: containerd pulls the image without a second request', async () => {
    await using containerd = await TestContainerd.open();
    const pushed = await lab.pushNew();
    const holder = await lab.startNode(...SLOW_UPLOAD);
    await lab.fetchLayer(holder, pushed);
    const node = await lab.startNode();
    const pulling = containerd.pull(`${UPSTREAM}/${pushed.name}:1`, [`http://${node.facade}`]);
    await until('a quarter has come', async () => (await receivedBytes(node, 'peer')) > LAYER_BYTES / 4);
    holder.child.kill('SIGKILL');
    const { exitCode, output } = await pulling;
    expect(exitCode, output).toBe(0);
    for (const digest of blobsOf(pushed.image)) expect(await containerd.digestOfHeld(digest)).toBe(digest);
    expect(await node.metric('dockyard_http_short_bodies_total')).toBe(0);
    expect(await node.metric('dockyard_http_requests_total', { route: 'blob', method: 'GET' })).toBe(2);
  });
});
