/**
 * The origin or the node itself fails in the middle of a layer. The client sees nothing of it where the rest can be had, and
 * a clear error otherwise. Lines are slow on purpose, so that there is a middle.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import { requireDockerd, TestDockerd } from '../support/dockerd-process.ts';
import { blobsOf, makeRandomImage } from '../support/image-builder.ts';
import { until } from '../support/programs.ts';
import { ThrottlingProxy } from '../support/throttling-proxy.ts';
import {
  ClientsLab,
  FAST_BYTES_PER_SECOND,
  LAYER_BYTES,
  MAX_SILENCE_MS,
  MIB,
  requireLab,
  SLOW_BYTES_PER_SECOND,
  UPSTREAM,
} from './clients-lab.ts';

const hasLab = requireLab();
const hasContainerd = requireContainerd();
const hasDockerd = requireDockerd();

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

  test('the origin dies while another node holds the layer: the rest comes from there', async () => {
    // The other node read it elsewhere, before it joins.
    const data = ['--data', lab.newFolder()];
    const [pushed, alone] = await Promise.all([lab.pushNew(), lab.startNode(...data)]);
    await lab.fetchLayer(alone, pushed);
    alone.child.kill('SIGTERM');
    const ended = lab.ended(alone);
    const node = await lab.startNode();
    expect(await ended).toBe(0);
    // So slow that the other node is there long before the layer is.
    lab.line.setRate(SLOW_BYTES_PER_SECOND / 4);
    await using read = lab.read(node, pushed);
    await read.untilBytes(LAYER_BYTES / 8);
    await lab.startNode(...data);
    await lab.withoutRegistry(async () => {
      const outcome = await read.outcome();
      expect(outcome, read.stderr).toMatchObject({ exitCode: 0, sha256: pushed.layer.digest });
      expect(outcome.longestSilenceMs).toBeLessThan(MAX_SILENCE_MS);
      expect(await node.metric('dockyard_received_bytes_total', { source: 'peer' })).toBeGreaterThan(LAYER_BYTES / 4);
    });
  });

  test('the origin dies and comes back: the answer goes on where it was', async () => {
    const pushed = await lab.pushNew();
    lab.line.setRate(SLOW_BYTES_PER_SECOND);
    const node = await lab.startNode();
    const passedBefore = lab.line.passedBytes;
    await using read = lab.read(node, pushed);
    await read.untilBytes(LAYER_BYTES / 3);
    await lab.withoutRegistry(async () => await Promise.resolve());
    const outcome = await read.outcome();
    expect(outcome, read.stderr).toMatchObject({ exitCode: 0, sha256: pushed.layer.digest });
    // A piece that was cut is asked for again; nothing else is.
    expect(lab.line.passedBytes - passedBefore).toBeLessThan(pushed.layer.bytes.length + MIB);
  });

  test('the origin dies for good: the body ends short, and what was not begun is refused before its first byte', async () => {
    const pushed = await lab.pushNew(makeRandomImage(LAYER_BYTES, MIB));
    lab.line.setRate(SLOW_BYTES_PER_SECOND);
    const node = await lab.startNode();
    await using read = lab.read(node, pushed);
    await read.untilBytes(LAYER_BYTES / 3);
    await lab.withoutRegistry(async () => {
      const outcome = await read.outcome();
      expect(outcome.exitCode).toBe(18);
      expect(outcome.sizeBytes).toBeGreaterThan(LAYER_BYTES / 4);
      const other = pushed.image.layers[1]?.digest ?? '';
      const answer = await fetch(`http://${node.facade}/v2/${pushed.name}/blobs/${other}?ns=${UPSTREAM}`);
      expect(answer.status).toBe(503);
      expect(await answer.text()).toMatch(/^\{"errors":\[\{"code":"[A-Z_]+","message":"[^"]+/);
    });
    // As soon as it is back, the rest comes, and only the rest.
    const passedBefore = lab.line.passedBytes;
    lab.line.setRate(FAST_BYTES_PER_SECOND);
    await until('the layer comes whole', async () => {
      await using again = lab.read(node, pushed);
      return (await again.outcome()).exitCode === 0;
    });
    await lab.fetchLayer(node, pushed);
    expect(lab.line.passedBytes - passedBefore).toBeLessThan((pushed.layer.bytes.length * 3) / 4);
  });

  test.skipIf(!hasDockerd)('the origin dies and comes back: dockerd pulls the image', async () => {
    await using dockerd = await TestDockerd.open();
    const pushed = await lab.pushNew();
    lab.line.setRate(SLOW_BYTES_PER_SECOND);
    const node = await lab.startNode();
    const pulling = dockerd.docker('pull', `${node.facade}/${UPSTREAM}/${pushed.name}:1`);
    await until('a third has come', async () => (await node.metric('dockyard_served_bytes_total')) > LAYER_BYTES / 3);
    await lab.withoutRegistry(async () => {
      // Its request for the layer has ended short, and it will ask for the rest.
      await until('the body has ended', async () => (await node.metric('dockyard_http_short_bodies_total')) > 0);
    });
    const { exitCode, output } = await pulling;
    expect(exitCode, output).toBe(0);
    const ids = await dockerd.docker('images', '--quiet', '--no-trunc');
    expect(ids.output.trim()).toBe(pushed.image.config.digest);
  });

  test('the node is killed and started again: what it had verified is not fetched twice', async () => {
    const pushed = await lab.pushNew();
    lab.line.setRate(SLOW_BYTES_PER_SECOND);
    const data = ['--data', lab.newFolder()];
    const node = await lab.startNode(...data);
    const passedBefore = lab.line.passedBytes;
    await using read = lab.read(node, pushed);
    await read.untilBytes(LAYER_BYTES / 2);
    node.child.kill('SIGKILL');
    expect((await read.outcome()).exitCode).not.toBe(0);
    await lab.ended(node);
    lab.line.setRate(FAST_BYTES_PER_SECOND);
    const again = await lab.startNode(...data);
    // A client that tries again asks for the manifest first: so the node knows how long the layer is.
    const manifest = await fetch(`http://${again.facade}/v2/${pushed.name}/manifests/1?ns=${UPSTREAM}`);
    expect(manifest.status).toBe(200);
    await lab.fetchLayer(again, pushed);
    expect(await again.metric('dockyard_received_bytes_total')).toBeLessThan((pushed.layer.bytes.length * 2) / 3);
    expect(lab.line.passedBytes - passedBefore).toBeLessThan(pushed.layer.bytes.length + MIB);
  });

  test.skipIf(!hasContainerd)(
    'the node is stopped without grace: containerd goes on at the registry, at the byte reached',
    async () => {
      await using containerd = await TestContainerd.open();
      await using direct = await ThrottlingProxy.open(lab.registry.port, FAST_BYTES_PER_SECOND);
      const pushed = await lab.pushNew();
      lab.line.setRate(SLOW_BYTES_PER_SECOND);
      const node = await lab.startNode('--http-shutdown-grace', '0s');
      const pulling = containerd.pull(`${UPSTREAM}/${pushed.name}:1`, [`http://${node.facade}`], direct.url);
      await until('a third has come', async () => (await node.metric('dockyard_served_bytes_total')) > LAYER_BYTES / 3);
      node.child.kill('SIGTERM');
      expect(await lab.ended(node)).toBe(0);
      const { exitCode, output } = await pulling;
      expect(exitCode, output).toBe(0);
      for (const digest of blobsOf(pushed.image)) expect(await containerd.digestOfHeld(digest)).toBe(digest);
      expect(direct.passedBytes).toBeGreaterThan(LAYER_BYTES / 4);
      expect(direct.passedBytes).toBeLessThan((LAYER_BYTES * 3) / 4);
    },
  );

  test('SIGTERM lets a running answer finish', async () => {
    const pushed = await lab.pushNew();
    lab.line.setRate(SLOW_BYTES_PER_SECOND);
    const node = await lab.startNode();
    await using read = lab.read(node, pushed);
    await read.untilBytes(LAYER_BYTES / 3);
    node.child.kill('SIGTERM');
    expect(await read.outcome(), read.stderr).toMatchObject({ exitCode: 0, sha256: pushed.layer.digest });
    expect(await lab.ended(node)).toBe(0);
  });
});
