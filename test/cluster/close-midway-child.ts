/** Run as a process of its own: nodes are closed while blobs are under way; then nothing may be left that keeps it alive. */
import { MIB, pullRaw } from './net.ts';
import { randomBlob, Testnet } from './testnet.ts';

const net = new Testnet();
const nodes = await net.add(4, { config: { uploadRateBytesPerSecond: 4 * MIB, downloadRateBytesPerSecond: 4 * MIB } });
const digests = Array.from({ length: 5 }, () => net.origin.add(randomBlob(8 * MIB)));
const pulls = nodes.flatMap((node) => digests.map(async (digest) => await pullRaw(node, digest)));
// In the middle of everything: each node is at work on each blob, and some of it has come.
while (
  nodes.some((node) => node.transfer.blobs.reports().running.length < digests.length) ||
  net.origin.sentBytes < MIB
)
  await new Promise((resolve) => setImmediate(resolve));
await net.close();
const results = await Promise.all(pulls);
const brokenCount = results.filter((result) => result.error !== undefined).length;
process.stdout.write(`closed, ${brokenCount} of ${results.length} pulls ended early\n`);
// Whatever is left now would keep the process alive. This timer does not, and ends it with an error where something else does.
setTimeout(() => process.exit(3), 20_000).unref();
