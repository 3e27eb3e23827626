/** A bucket, filled, looked into and damaged behind the back of the storage under test. */
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';

/** Objects that are put at once. */
const PUTS_AT_ONCE = 32;

/** Who may do everything on the servers that tests start. */
export const ROOT_CREDENTIALS = { accessKeyId: 'test-key', secretAccessKey: 'test-secret' } as const;

/** One bucket. Whoever makes it closes it. */
export class S3Bucket {
  readonly name: string;
  readonly #client: S3Client;

  /** Whatever certificate the server has is trusted. */
  constructor(endpoint: string, name: string) {
    this.name = name;
    this.#client = new S3Client({
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: ROOT_CREDENTIALS,
      requestHandler: { httpsAgent: { rejectUnauthorized: false } },
    });
  }

  async make(): Promise<void> {
    await this.#client.send(new CreateBucketCommand({ Bucket: this.name }));
  }

  /** All keys with a prefix, in the order in which the server lists them. */
  async keys(prefix = ''): Promise<string[]> {
    const keys = [];
    for await (const page of paginateListObjectsV2({ client: this.#client }, { Bucket: this.name, Prefix: prefix }))
      for (const { Key = '' } of page.Contents ?? []) keys.push(Key);
    return keys;
  }

  async get(key: string): Promise<Buffer> {
    const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.name, Key: key }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  async put(key: string, body: Buffer): Promise<void> {
    await this.#client.send(new PutObjectCommand({ Bucket: this.name, Key: key, Body: body }));
  }

  /** Puts empty objects. */
  async putEmpty(keys: Iterable<string>): Promise<void> {
    const rest = keys[Symbol.iterator]();
    const putRest = async (): Promise<void> => {
      for (let next = rest.next(); next.done !== true; next = rest.next()) await this.put(next.value, Buffer.alloc(0));
    };
    await Promise.all(Array.from({ length: PUTS_AT_ONCE }, putRest));
  }

  async delete(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.name, Key: key }));
  }

  /** Changes a byte of an object. */
  async damage(key: string): Promise<void> {
    const bytes = await this.get(key);
    bytes.write('?', 100);
    await this.put(key, bytes);
  }

  close(): void {
    this.#client.destroy();
  }
}
