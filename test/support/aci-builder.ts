/** Archives of app container images, good and bad, made block by block: no tar program would make the bad ones. */
import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';

/** One entry of an archive. */
export interface TarItem {
  readonly path: string;
  /** The type flag of its header; a file when left out. */
  readonly type?: string;
  readonly link?: string;
  readonly body?: Uint8Array | string;
  /** What the header says, where that is not the size of the body. */
  readonly statedBytes?: number;
}

/** The labels that every image has unless a test says otherwise. */
export const TEST_LABELS = { version: '1.0', os: 'linux', arch: 'amd64' } as const;

/** An image manifest. */
export function testManifest(name: string, labels: Readonly<Record<string, string>> = TEST_LABELS): string {
  const pairs = Object.entries(labels).map(([label, value]) => ({ name: label, value }));
  return JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name, labels: pairs });
}

/** A block of a header. */
export function tarHeader(item: TarItem): Buffer {
  const block = Buffer.alloc(512);
  const size = item.statedBytes ?? Buffer.byteLength(item.body ?? '');
  block.write(item.path, 0, 100, 'utf8');
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write(item.type ?? '0', 156);
  block.write(item.link ?? '', 157, 100, 'utf8');
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** A whole archive, with the two empty blocks at its end. */
export function tarOf(items: readonly TarItem[]): Buffer {
  const blocks = items.flatMap((item) => {
    const body = Buffer.from(item.body ?? '');
    return [tarHeader(item), body, Buffer.alloc((512 - (body.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** The entries that an image needs. */
export function imageItems(name: string, labels: Readonly<Record<string, string>> = TEST_LABELS): [TarItem, TarItem] {
  return [
    { path: 'manifest', body: testManifest(name, labels) },
    { path: 'rootfs', type: '5' },
  ];
}

/** A small good image. */
export function testImage(name: string, options: { labels?: Record<string, string>; body?: Uint8Array } = {}): Buffer {
  const { labels = TEST_LABELS, body = Buffer.from('#!/bin/sh\necho hello\n') } = options;
  return tarOf([...imageItems(name, labels), { path: 'rootfs/bin', type: '5' }, { path: 'rootfs/bin/app', body }]);
}

/** Packs bytes as the real programs do. */
export function packed(bytes: Uint8Array, how: 'none' | 'gzip' | 'bzip2' | 'xz', level = 6): Buffer {
  if (how === 'none') return Buffer.from(bytes);
  if (how === 'gzip') return gzipSync(bytes, { level });
  return execFileSync(how, ['--stdout', `-${level}`], { input: bytes, maxBuffer: 256 * 1024 * 1024 });
}

/** Bytes as a stream, in chunks of a size. */
export async function* chunksOf(bytes: Uint8Array, chunkBytes = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    await Promise.resolve();
    yield bytes.subarray(at, at + chunkBytes);
  }
}
