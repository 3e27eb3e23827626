/**
 * A client process: pushes and pulls many small blobs over several kept connections. Each line of standard input is a job,
 * and is answered with the seconds that it took and the blobs that it was about, as a line of JSON.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { LeanConnection } from './lean-connection.ts';
import type { LeanJob, LeanResult } from './lean-jobs.ts';

async function pushOne(connection: LeanConnection, repository: string, digest: string, bytes: Buffer): Promise<void> {
  const begun = await connection.ask('POST', `/v2/${repository}/blobs/uploads/`);
  if (begun.status !== 202 || begun.location === undefined) throw new Error(`an upload begins with ${begun.status}`);
  const { pathname, search } = new URL(begun.location, 'http://registry');
  const query = search === '' ? '?' : `${search}&`;
  const ended = await connection.ask('PUT', `${pathname}${query}digest=${digest}`, bytes);
  if (ended.status !== 201) throw new Error(`a push ends with ${ended.status}`);
}

async function pullOne(
  connection: LeanConnection,
  repository: string,
  digest: string,
  sizeBytes: number,
): Promise<void> {
  const { status, bodyBytes } = await connection.ask('GET', `/v2/${repository}/blobs/${digest}`);
  if (status !== 200 || bodyBytes !== sizeBytes) throw new Error(`a pull gives ${status} with ${bodyBytes} bytes`);
}

async function push({ origin, repository, count, sizeBytes, connections }: Extract<LeanJob, { kind: 'push' }>) {
  const blobs = Array.from({ length: count }, () => {
    const bytes = randomBytes(sizeBytes);
    return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
  });
  const digests = blobs.map(({ digest }) => digest);
  const seconds = await together(origin, connections, async (connection) => {
    for (let blob = blobs.pop(); blob !== undefined; blob = blobs.pop())
      await pushOne(connection, repository, blob.digest, blob.bytes);
  });
  return { seconds, digests };
}

/** Each connection pulls all. */
async function pull({ origin, repository, digests, sizeBytes, connections }: Extract<LeanJob, { kind: 'pull' }>) {
  const seconds = await together(origin, connections, async (connection) => {
    for (const digest of digests) await pullOne(connection, repository, digest, sizeBytes);
  });
  return { seconds, digests };
}

/** Seconds from the first request to the last answer. */
async function together(
  origin: string,
  count: number,
  work: (connection: LeanConnection) => Promise<void>,
): Promise<number> {
  using open = new DisposableStack();
  const connections: LeanConnection[] = [];
  while (connections.length < count) connections.push(open.use(await LeanConnection.open(origin)));
  const startMs = performance.now();
  await Promise.all(connections.map(work));
  return (performance.now() - startMs) / 1000;
}

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line) as LeanJob;
  const result: LeanResult = job.kind === 'push' ? await push(job) : await pull(job);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
