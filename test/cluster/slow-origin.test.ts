/** An origin that gives each connection only so much: several nodes read it, each another part. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MIB, startNet } from './net.ts';
import { randomBlob } from './testnet.ts';

/** A connection gets 100 kB every so often: so slowly that the machine, however busy, is not what limits it. */
const CHUNK_PAUSE_MS = 40;

test('nodes share the reading of an origin that is slow to each, and each byte leaves it about once', async () => {
  const net = startNet();
  const nodes = await net.add(5);
  const blob = randomBlob(10 * MIB);
  const digest = net.origin.add(blob);
  net.origin.beforeChunk = async () => await delay(CHUNK_PAUSE_MS);
  const pulled = await Promise.all(nodes.map(async (node) => await node.pull(digest)));
  expect(pulled.every((bytes) => bytes?.equals(blob) === true)).toBe(true);
  const readBytes = await Promise.all(
    nodes.map(async (node) => await node.metric('dockyard_received_bytes_total', { source: 'origin' })),
  );
  // The smallest part that is handed out is a mebibyte.
  expect(readBytes.filter((bytes) => bytes >= MIB).length).toBeGreaterThan(1);
  expect(net.origin.sentBytes / blob.length).toBeLessThan(1.2);
}, 30_000);

test('a reader that may not read the origin leaves its part to the others', async () => {
  const net = startNet();
  const nodes = await net.add(4);
  const blob = randomBlob(10 * MIB);
  const digest = net.origin.add(blob);
  net.origin.beforeChunk = async () => await delay(CHUNK_PAUSE_MS);
  const openBlob = net.origin.openBlob.bind(net.origin);
  net.origin.openBlob = async (repository, wanted, options) => {
    if (net.origin.openCount > 0 && (options.range?.end ?? 0) === blob.length) throw new Error('401');
    return await openBlob(repository, wanted, options);
  };
  const pulled = await Promise.all(nodes.map(async (node) => await node.pull(digest)));
  expect(pulled.every((bytes) => bytes?.equals(blob) === true)).toBe(true);
}, 30_000);
