/**
 * What a tracker keeps over a restart, in one file that is written anew each time and then renamed: peers and registrations.
 *
 * Format: 8 bytes `DYTRACK1`, then records: length (4), CRC-32 of the payload (4), payload. A payload begins with its kind.
 *   1, a torrent:        info-hash (20), downloaded (4), then for IPv4 and for IPv6: complete (4), bytes (4), records
 *   2, registrations:    one after the other: info-hash (20), until when in seconds (4; all ones for good)
 * What follows a record that is cut off or altered is left out. Numbers are big-endian.
 */
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { PeerList } from './peer-list.ts';
import type { PeerTable, TorrentPeers } from './peer-table.ts';
import type { Registrations } from './registrations.ts';

const MAGIC = Buffer.from('DYTRACK1');
const KIND = { torrent: 1, registrations: 2 } as const;
const HEAD_BYTES = 8;
const FOR_GOOD = 0xffffffff;
const REGISTRATION_BYTES = 24;
const REGISTRATIONS_IN_RECORD = 1_000;

/** Written to disk at once; other work runs in between. */
const CHUNK_BYTES = 256 * 1024;

/** A larger file is none of ours: the largest table takes a fifth of it. */
const MAX_FILE_BYTES = 1024 * 1024 * 1024;

/** What is kept. */
export interface TrackerState {
  readonly table: PeerTable;
  readonly registrations: Registrations;
}

/** What reading a state came to. */
export interface StateReading {
  readonly torrents: number;
  readonly registrations: number;
  /** Bytes at the end that were not readable. */
  readonly lostBytes: number;
}

/** Writes the state; answers its size. The file is whole at any time: the old one, then the new one. */
export async function writeStateFile(path: string, state: TrackerState): Promise<number> {
  const temporary = `${path}.new`;
  let sizeBytes = 0;
  try {
    await using file = await open(temporary, 'w', 0o600);
    for (const chunk of chunksOf(recordsOf(state))) {
      await file.write(chunk);
      sizeBytes += chunk.length;
    }
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, path);
  await using folder = await open(dirname(path));
  await folder.sync();
  return sizeBytes;
}

/** Reads the state into table and registrations; `undefined` when there is no file. @throws for a file that cannot be read */
export async function readStateFile(path: string, state: TrackerState): Promise<StateReading | undefined> {
  let bytes: Buffer;
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new RangeError(`it has ${size} bytes; at most ${MAX_FILE_BYTES} are read`);
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const counts = { torrents: 0, registrations: 0 };
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return { ...counts, lostBytes: bytes.length };
  let at = MAGIC.length;
  while (at + HEAD_BYTES <= bytes.length) {
    const end = at + HEAD_BYTES + bytes.readUInt32BE(at);
    const payload = bytes.subarray(at + HEAD_BYTES, end);
    if (end > bytes.length || crc32(payload) !== bytes.readUInt32BE(at + 4)) break;
    restoreRecord(payload, state, counts);
    at = end;
  }
  return { ...counts, lostBytes: bytes.length - at };
}

function restoreRecord(
  payload: Buffer,
  { table, registrations }: TrackerState,
  counts: { torrents: number; registrations: number },
): void {
  if (payload[0] === KIND.torrent) {
    table.restore(payload.toString('hex', 1, 21), readTorrent(payload));
    counts.torrents += 1;
  } else if (payload[0] === KIND.registrations) {
    for (let at = 1; at + REGISTRATION_BYTES <= payload.length; at += REGISTRATION_BYTES) {
      const until = payload.readUInt32BE(at + 20);
      registrations.restore(payload.toString('hex', at, at + 20), until === FOR_GOOD ? Infinity : until * 1000);
      counts.registrations += 1;
    }
  }
}

function readTorrent(payload: Buffer): TorrentPeers {
  const downloaded = payload.readUInt32BE(21);
  const v4End = 33 + payload.readUInt32BE(29);
  const v4 = PeerList.fromRecords(6, payload.subarray(33, v4End), payload.readUInt32BE(25));
  const v6Bytes = payload.subarray(v4End + 8, v4End + 8 + payload.readUInt32BE(v4End + 4));
  const v6 = v6Bytes.length === 0 ? undefined : PeerList.fromRecords(18, v6Bytes, payload.readUInt32BE(v4End));
  return { v4, v6, downloaded };
}

function* recordsOf({ table, registrations }: TrackerState): Generator<Buffer> {
  yield MAGIC;
  let block: Buffer[] = [];
  for (const { infoHash, untilMs } of registrations.kept()) {
    const until = Buffer.alloc(4);
    until.writeUInt32BE(untilMs === Infinity ? FOR_GOOD : Math.floor(untilMs / 1000));
    block.push(Buffer.from(infoHash, 'hex'), until);
    if (block.length < 2 * REGISTRATIONS_IN_RECORD) continue;
    yield recordOf(KIND.registrations, block);
    block = [];
  }
  if (block.length > 0) yield recordOf(KIND.registrations, block);
  for (const [infoHash, torrent] of table.entries()) yield recordOf(KIND.torrent, torrentParts(infoHash, torrent));
}

function torrentParts(infoHash: string, { v4, v6, downloaded }: TorrentPeers): Buffer[] {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(downloaded);
  return [Buffer.from(infoHash, 'hex'), head, ...listParts(v4), ...listParts(v6)];
}

function listParts(list: PeerList | undefined): Buffer[] {
  const records = list?.records() ?? Buffer.alloc(0);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(list?.complete ?? 0, 0);
  head.writeUInt32BE(records.length, 4);
  return [head, records];
}

function recordOf(kind: number, parts: readonly Buffer[]): Buffer {
  const record = Buffer.concat([Buffer.alloc(HEAD_BYTES), Buffer.of(kind), ...parts]);
  const payload = record.subarray(HEAD_BYTES);
  record.writeUInt32BE(payload.length, 0);
  record.writeUInt32BE(crc32(payload), 4);
  return record;
}

/** Small records together, so that a write is worth it. */
function* chunksOf(records: Iterable<Buffer>): Generator<Buffer> {
  let gathered: Buffer[] = [];
  let sizeBytes = 0;
  for (const record of records) {
    gathered.push(record);
    sizeBytes += record.length;
    if (sizeBytes < CHUNK_BYTES) continue;
    yield Buffer.concat(gathered);
    [gathered, sizeBytes] = [[], 0];
  }
  if (sizeBytes > 0) yield Buffer.concat(gathered);
}
