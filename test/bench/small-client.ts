/**
 * A client process: each line of standard input is a series of URLs, which it gets one after the other over one kept
 * connection, checking their digests. It answers a line with the milliseconds that each took, as a JSON list.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

async function timeGet(url: string): Promise<number> {
  const startMs = performance.now();
  const [response] = (await once(get(url, { agent }), 'response')) as [IncomingMessage];
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  const tookMs = performance.now() - startMs;
  const digest = `sha256:${hash.digest('hex')}`;
  if (response.statusCode !== 200 || !url.endsWith(digest))
    throw new Error(`${url} gave ${response.statusCode}, ${digest}`);
  return tookMs;
}

for await (const line of createInterface({ input: process.stdin })) {
  const tookMs: number[] = [];
  for (const url of line.split(' ')) tookMs.push(await timeGet(url));
  process.stdout.write(`${JSON.stringify(tookMs)}\n`);
}
agent.destroy();
