/** Reading torrent files, which come from strangers. Nothing of them is used before all of it was found right. */
import { decodeBencode, splitBencodedDictionary, type BencodeValue } from '../bencode/bencode.ts';
import { torrentError, type TorrentErrorCode } from './errors.ts';
import {
  infoHashOf,
  placeFiles,
  SHA1_BYTES,
  totalBytes,
  type Metainfo,
  type TorrentFile,
  type TorrentInfo,
} from './metainfo.ts';
import { assertApart, assertSafeName, assertSafePath } from './torrent-path.ts';

/** The largest torrent file that is read: 800,000 pieces, or 10,000 files with long names. */
export const MAX_METAINFO_BYTES = 16 * 1024 * 1024;

/** Most files of a torrent. An image layout has some dozens, an index for every platform some hundreds. */
export const MAX_TORRENT_FILES = 10_000;

/** The largest piece: it is kept in memory until it is verified, one for each peer in the worst case. */
export const MAX_PIECE_SIZE_BYTES = 32 * 1024 * 1024;

/** The smallest: below it, hashing costs more than the bytes. */
export const MIN_PIECE_SIZE_BYTES = 1024;

/** Parts of a torrent file: some for each file, few for all else. */
const MAX_VALUES = 20 * MAX_TORRENT_FILES;

/** Addresses of trackers and web seeds that are looked at; the rest is left out. */
const MAX_URLS = 100;
const MAX_URL_LENGTH = 2048;

/**
 * Reads a torrent file.
 * @throws {DockyardError} ERR_METAINFO_INVALID, ERR_METAINFO_TOO_LARGE, ERR_METAINFO_UNSAFE, ERR_METAINFO_EMPTY
 */
export function parseMetainfo(bytes: Uint8Array): Metainfo {
  if (bytes.length > MAX_METAINFO_BYTES)
    throw tooLarge(`a torrent file of ${bytes.length} bytes is larger than ${MAX_METAINFO_BYTES}`);
  const entries = readStrictly(() => splitBencodedDictionary(bytes, { maxValues: MAX_VALUES }));
  const info = entries.get('info');
  if (info === undefined) throw invalid("the torrent file has no 'info'");
  return {
    info: parseTorrentInfo(info),
    trackerTiers: readTrackers(decodeEntry(entries, 'announce'), decodeEntry(entries, 'announce-list')),
    webSeeds: readUrls(decodeEntry(entries, 'url-list'), ['http:', 'https:']),
    comment: optionalText(decodeEntry(entries, 'comment')),
  };
}

/** Reads an info dictionary alone, as peers give it to those who have but a magnet link. @throws as `parseMetainfo` */
export function parseTorrentInfo(bytes: Uint8Array): TorrentInfo {
  if (bytes.length > MAX_METAINFO_BYTES)
    throw tooLarge(`an info dictionary of ${bytes.length} bytes is larger than ${MAX_METAINFO_BYTES}`);
  const copy = Buffer.from(bytes);
  const info = readStrictly(() => decodeBencode(copy, { maxValues: MAX_VALUES, isSorted: true }));
  if (!(info instanceof Map)) throw invalid("'info' is no dictionary");
  const pieceSizeBytes = readPieceSize(info.get('piece length'));
  const name = requireText(info.get('name'), 'the name');
  assertSafeName(name);
  assertSafeAlternative(info.get('name.utf-8'));
  const { files, isSingleFile } = readFiles(info, name);
  const sizeBytes = totalBytes(files);
  if (sizeBytes === 0) throw torrentError('ERR_METAINFO_EMPTY', `the torrent '${name}' has no bytes`);
  const pieceHashes = readPieceHashes(info.get('pieces'), Math.ceil(sizeBytes / pieceSizeBytes));
  const isPrivate = info.get('private') === 1;
  const infoHash = infoHashOf(copy);
  return { infoHash, bytes: copy, name, isSingleFile, files, sizeBytes, pieceSizeBytes, pieceHashes, isPrivate };
}

function readPieceSize(value: BencodeValue | undefined): number {
  if (typeof value !== 'number' || value < MIN_PIECE_SIZE_BYTES)
    throw invalid(`the piece length is not a number of at least ${MIN_PIECE_SIZE_BYTES}`);
  if (value > MAX_PIECE_SIZE_BYTES)
    throw tooLarge(`pieces of ${value} bytes are larger than ${MAX_PIECE_SIZE_BYTES}, and each is kept in memory`);
  return value;
}

function readPieceHashes(value: BencodeValue | undefined, pieceCount: number): Buffer {
  if (!Buffer.isBuffer(value)) throw invalid("'pieces' is missing: torrents of version 2 alone are not supported");
  if (value.length === pieceCount * SHA1_BYTES) return value;
  throw invalid(`'pieces' has ${value.length} bytes, and its ${pieceCount} pieces need ${pieceCount * SHA1_BYTES}`);
}

function readFiles(
  info: ReadonlyMap<string, BencodeValue>,
  name: string,
): { files: TorrentFile[]; isSingleFile: boolean } {
  const list = info.get('files');
  if (list === undefined) {
    const sizeBytes = readLength(info.get('length'));
    return { files: placeFiles([{ path: [name], sizeBytes, isPadding: false }]), isSingleFile: true };
  }
  if (info.has('length')) throw invalid("it has both 'length' and 'files'");
  if (!Array.isArray(list) || list.length === 0) throw invalid("'files' is no list with files in it");
  if (list.length > MAX_TORRENT_FILES)
    throw tooLarge(`a torrent of ${list.length} files has more than ${MAX_TORRENT_FILES}`);
  const files = placeFiles(list.map(readFile));
  if (!Number.isSafeInteger(totalBytes(files))) throw invalid('the lengths of its files add up to more than can be');
  assertApart(files.filter((file) => !file.isPadding).map((file) => file.path));
  return { files, isSingleFile: false };
}

function readFile(value: BencodeValue): Omit<TorrentFile, 'offsetBytes'> {
  if (!(value instanceof Map)) throw invalid('a file is no dictionary');
  const path = readPath(value.get('path'));
  const alternative = value.get('path.utf-8');
  if (alternative !== undefined) readPath(alternative);
  const attributes = optionalText(value.get('attr')) ?? '';
  if (attributes.includes('l'))
    throw torrentError('ERR_METAINFO_UNSAFE', 'the torrent is refused: it has a symbolic link in it');
  return { path, sizeBytes: readLength(value.get('length')), isPadding: attributes.includes('p') };
}

function readPath(value: BencodeValue | undefined): string[] {
  if (!Array.isArray(value)) throw invalid('the path of a file is no list');
  const path = value.map((name) => requireText(name, 'a part of a path'));
  assertSafePath(path);
  return path;
}

/** Other programs read these in place of `name` and `path`: they must lead nowhere else either. */
function assertSafeAlternative(value: BencodeValue | undefined): void {
  if (value !== undefined) assertSafeName(requireText(value, 'the name'));
}

function readLength(value: BencodeValue | undefined): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid('the length of a file is not a whole number, zero or more');
}

/** Later keys win where a client knows both, as BEP 12 says. */
function readTrackers(announce: BencodeValue | undefined, list: BencodeValue | undefined): string[][] {
  const schemes = ['http:', 'https:', 'udp:'];
  const tiers = Array.isArray(list) ? list.slice(0, MAX_URLS).map((tier) => readUrls(tier, schemes)) : [];
  const known = tiers.filter((tier) => tier.length > 0);
  if (known.length > 0) return known;
  const single = readUrls(announce, schemes);
  return single.length === 0 ? [] : [single];
}

/** URLs, in a list or alone; what is none is left out, since it may be of a kind that others know. */
function readUrls(value: BencodeValue | undefined, schemes: readonly string[]): string[] {
  const items = Array.isArray(value) ? value : [value];
  return items.slice(0, MAX_URLS).flatMap((item) => {
    const text = Buffer.isBuffer(item) && item.length <= MAX_URL_LENGTH ? item.toString('utf8') : '';
    return schemes.includes(URL.parse(text)?.protocol ?? '') ? [text] : [];
  });
}

function decodeEntry(entries: ReadonlyMap<string, Buffer>, key: string): BencodeValue | undefined {
  const bytes = entries.get(key);
  return bytes === undefined ? undefined : decodeBencode(bytes);
}

function requireText(value: BencodeValue | undefined, what: string): string {
  if (!Buffer.isBuffer(value)) throw invalid(`${what} is missing, or no string`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
  } catch (cause) {
    throw torrentError('ERR_METAINFO_INVALID', `the torrent cannot be used: ${what} is not UTF-8`, { cause });
  }
}

function optionalText(value: BencodeValue | undefined): string | undefined {
  return Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
}

function readStrictly<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    const code: TorrentErrorCode = cause.message.includes('too many')
      ? 'ERR_METAINFO_TOO_LARGE'
      : 'ERR_METAINFO_INVALID';
    throw torrentError(code, `the torrent cannot be used: ${cause.message}`, { cause });
  }
}

function invalid(why: string): Error {
  return torrentError('ERR_METAINFO_INVALID', `the torrent cannot be used: ${why}`);
}

function tooLarge(why: string): Error {
  return torrentError('ERR_METAINFO_TOO_LARGE', `the torrent is refused: ${why}`);
}
