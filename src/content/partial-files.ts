/** The two files of a partial blob: made, opened, and read. */
import { join } from 'node:path';
import { Bitfield } from './bitfield.ts';
import { readFully, writeFully, type Disk, type DiskFile } from './disk.ts';
import type { PieceGeometry } from './geometry.ts';
import {
  encodeMapHeader,
  MAP_HEADER_BYTES,
  mapEntry,
  mapFileBytes,
  parseMapHeader,
  type MapHeader,
} from './partial-map.ts';

/** Open files, to be closed by whoever opened them, and the body of the map as it was read. */
export interface PartialFiles {
  readonly data: DiskFile;
  readonly map: DiskFile;
  readonly body: Buffer;
}

/** Opens the files in `folder`, or makes them anew. Repeatable when it fails. */
export async function openPartialFiles(
  disk: Disk,
  folder: string,
  header: MapHeader,
  anew: boolean,
): Promise<PartialFiles> {
  if (anew) {
    await disk.removeTree(folder);
    await disk.makeFolder(folder);
  }
  const map = await disk.open(join(folder, 'map'), anew ? 'wx+' : 'r+');
  try {
    if (anew) await writeFully(map, encodeMapHeader(header), 0);
    // A crash in the middle of a reset may have left either file too short; bytes that are not there match no hash.
    await map.truncate(mapFileBytes(header.geometry));
    const body = await readFully(map, MAP_HEADER_BYTES, mapFileBytes(header.geometry) - MAP_HEADER_BYTES);
    return { map, body, data: await openData(disk, join(folder, 'data'), header.geometry.sizeBytes, anew) };
  } catch (error) {
    await map.close();
    throw error;
  }
}

/** What is in the map of `folder`, and when it was last written; `undefined` for a header that cannot be used. */
export async function readPartialMap(
  disk: Disk,
  folder: string,
): Promise<{ header: MapHeader; body: Buffer; writtenAtMs: number } | undefined> {
  const path = join(folder, 'map');
  const { mtimeMs, size } = await disk.stat(path);
  await disk.stat(join(folder, 'data'));
  const map = await disk.open(path, 'r');
  let bytes: Buffer;
  try {
    bytes = await readFully(map, 0, size);
  } finally {
    await map.close();
  }
  const header = parseMapHeader(bytes);
  return header === undefined ? undefined : { header, body: bytes.subarray(MAP_HEADER_BYTES), writtenAtMs: mtimeMs };
}

/** The pieces of which a map has a hash. */
export function claimedPieces(geometry: PieceGeometry, body: Buffer): Bitfield {
  const claimed = new Bitfield(geometry.pieceCount);
  for (let index = 0; index < geometry.pieceCount; index += 1)
    if (mapEntry(body, index) !== undefined) claimed.add(index);
  return claimed;
}

async function openData(disk: Disk, path: string, sizeBytes: number, anew: boolean): Promise<DiskFile> {
  const data = await disk.open(path, anew ? 'wx+' : 'r+');
  try {
    await data.truncate(sizeBytes);
    return data;
  } catch (error) {
    await data.close();
    throw error;
  }
}
