/** All ways in which the specification lets a blob be pushed. Each answers what the registry said to the last request. */
import { ending, locationOf, type Answer, type Blob, type RegistryClient } from './registry-client.ts';

/** A blob, and where to. */
export interface BlobUpload {
  readonly client: RegistryClient;
  readonly repository: string;
  readonly blob: Blob;
}

type Way = (upload: BlobUpload) => Promise<Answer>;

/** A blob for `CHUNKS` requests. */
export const BLOB_BYTES = 3000;
const CHUNK_BYTES = 1001;

/** By the names that the specification's own suite has for them. */
export const UPLOAD_WAYS: Readonly<Record<string, Way>> = {
  'post only': async ({ client, repository, blob }) =>
    await client.send('POST', `/v2/${repository}/blobs/uploads/?digest=${blob.digest}`, {
      headers: { 'content-type': 'application/octet-stream' },
      body: blob.bytes,
    }),
  'post+put': async ({ client, repository, blob }) =>
    await client.send('PUT', ending(await client.begin(repository), blob.digest), { body: blob.bytes }),
  stream: async ({ client, repository, blob }) => {
    const location = await client.begin(repository);
    const body = new Response(new Uint8Array(blob.bytes)).body ?? undefined;
    const answer = await client.send('PATCH', location, body === undefined ? {} : { body });
    expectTaken(answer, blob.bytes.length);
    return await client.send('PUT', ending(locationOf(answer), blob.digest));
  },
  'chunked single': async (upload) => await chunked(upload, { chunkBytes: upload.blob.bytes.length }),
  'chunked multi': async (upload) => await chunked(upload),
  'chunked multi and put chunk': async (upload) => await chunked(upload, { endsWithChunk: true }),
  'chunked out-of-order': async (upload) => await chunked(upload, { straysBefore: true }),
  'chunked out-of-order and put chunk': async (upload) =>
    await chunked(upload, { straysBefore: true, endsWithChunk: true }),
};

interface ChunkedOptions {
  readonly chunkBytes?: number;
  /** The last chunk is the body of the PUT. */
  readonly endsWithChunk?: boolean;
  /** Before each chunk comes one that is out of order. */
  readonly straysBefore?: boolean;
}

async function chunked(upload: BlobUpload, options: ChunkedOptions = {}): Promise<Answer> {
  const { client, repository, blob } = upload;
  const { chunkBytes = CHUNK_BYTES, endsWithChunk = false, straysBefore = false } = options;
  let location = await client.begin(repository);
  for (let start = 0; start < blob.bytes.length; start += chunkBytes) {
    if (straysBefore) location = await stray(upload, location, { start, chunkBytes, endsWithChunk });
    const end = Math.min(start + chunkBytes, blob.bytes.length);
    const chunk = { headers: rangeOf(start, end), body: blob.bytes.subarray(start, end) };
    if (endsWithChunk && end === blob.bytes.length)
      return await client.send('PUT', ending(location, blob.digest), chunk);
    const answer = await client.send('PATCH', location, chunk);
    expectTaken(answer, end);
    location = locationOf(answer);
  }
  return await client.send('PUT', ending(location, blob.digest));
}

/** Sends a chunk that is not the next one, which is refused, and asks where the upload goes on. */
async function stray(
  { client, blob }: BlobUpload,
  location: string,
  { start, chunkBytes, endsWithChunk }: { start: number; chunkBytes: number; endsWithChunk: boolean },
): Promise<string> {
  const wrong = start + chunkBytes < blob.bytes.length ? start + chunkBytes : 0;
  const end = Math.min(wrong + chunkBytes, blob.bytes.length);
  const isLast = endsWithChunk && end === blob.bytes.length;
  const refused = await client.send(isLast ? 'PUT' : 'PATCH', isLast ? ending(location, blob.digest) : location, {
    headers: rangeOf(wrong, end),
    body: blob.bytes.subarray(wrong, end),
  });
  if (refused.status !== 416) throw new Error(`a chunk out of order was answered ${refused.status}`);
  const asked = await client.send('GET', location);
  if (asked.status !== 204) throw new Error(`an upload tells with ${asked.status} where it stands`);
  const range = asked.headers.get('range');
  if (start > 0 && range !== `0-${start - 1}`) throw new Error(`an upload stands at ${range} and not at ${start}`);
  return locationOf(asked);
}

/** Without a unit, as the specification has it. */
function rangeOf(start: number, end: number): Record<string, string> {
  return { 'content-range': `${start}-${end - 1}`, 'content-type': 'application/octet-stream' };
}

function expectTaken(answer: Answer, sizeBytes: number): void {
  const range = answer.headers.get('range');
  if (answer.status === 202 && range === `0-${sizeBytes - 1}`) return;
  throw new Error(`after ${sizeBytes} bytes a chunk was answered ${answer.status}, ${range} ${answer.body.toString()}`);
}
