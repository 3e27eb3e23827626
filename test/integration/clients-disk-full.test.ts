/** A node whose disk is full: clients still get their images, and nothing else goes wrong. The disk is a small tmpfs. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { ClientsLab, LAYER_BYTES, requireLab, UPSTREAM } from './clients-lab.ts';

const run = promisify(execFile);
const hasLab = requireLab();
const isRoot = requirement('mount', process.getuid?.() === 0, 'run as root: the test mounts a small disk');

/** The store believes that there is room; only the disk knows better. */
const UNLIMITED = ['--store-max-size', '1GiB'];

describe.skipIf(!hasLab || !isRoot)('on a full disk', () => {
  let lab: ClientsLab;
  let disk: string;

  beforeAll(async () => {
    lab = await ClientsLab.open();
    disk = join(lab.folder, 'disk');
    await mkdir(disk);
    await run('mount', ['-t', 'tmpfs', '-o', `size=${Math.floor(LAYER_BYTES * 0.6)}`, 'tmpfs', disk]);
  });

  afterEach(async () => {
    await lab.reset();
  });

  afterAll(async () => {
    await run('umount', ['-l', disk]);
    await lab.close();
  });

  async function startFull(name: string, ...flags: string[]): Promise<NodeProcess> {
    return await lab.startNode('--data', join(disk, name), '--store-min-free-disk', '0', ...flags);
  }

  async function pullTwice(node: NodeProcess): Promise<void> {
    const pushed = await lab.pushNew();
    for (const round of ['first', 'second']) {
      const image = `docker://${node.facade}/${UPSTREAM}/${pushed.name}:1`;
      const target = `dir:${lab.newFolder()}-${round}`;
      // skopeo checks every digest, and fails on a body that ends short.
      await run('skopeo', ['copy', '--src-tls-verify=false', image, target]);
    }
  }

  test('skopeo copies an image whose layer does not fit, and the node stays well', async () => {
    const node = await startFull('alone');
    await pullTwice(node);
    expect((await fetch(`http://${node.admin}/readyz`)).status).toBe(200);
    expect(await node.metric('dockyard_store_full_total')).toBeGreaterThan(0);
    const blobs = JSON.stringify(await node.report('blobs'));
    expect(blobs).not.toContain(`"sizeBytes":${LAYER_BYTES}`);
  });

  test('skopeo copies an image whose layer fills the disk on its way, and the node stays well', async () => {
    const node = await startFull('filled', ...UNLIMITED);
    await pullTwice(node);
    expect((await fetch(`http://${node.admin}/readyz`)).status).toBe(200);
    expect(await node.metric('dockyard_store_full_total')).toBeGreaterThan(0);
    expect(JSON.stringify(await node.report('pulls'))).toContain('"outcome":"failed"');
  });

  test.each([
    ['is refused at once', []],
    ['fills the disk on its way', UNLIMITED],
  ])('the layer, which %s, comes from a peer that holds it while the origin is gone', async (_what, flags) => {
    const pushed = await lab.pushNew();
    const holder = await lab.startNode();
    await lab.fetchLayer(holder, pushed);
    const node = await startFull(`with-peer-${flags.length}`, ...flags);
    await lab.withoutRegistry(async () => {
      await using read = lab.read(node, pushed);
      expect(await read.outcome(), read.stderr).toMatchObject({ exitCode: 0, sha256: pushed.layer.digest });
    });
    expect(await node.metric('dockyard_received_bytes_total', { source: 'peer' })).toBeGreaterThan(0);
  });
});
