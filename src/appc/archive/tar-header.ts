/**
 * One header of a tar archive: 512 bytes, in the forms of POSIX (ustar) and GNU.
 * Text is kept byte for byte (as latin1): two names are the same when their bytes are.
 * @see POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"
 */
import { appcError, quoted } from '../errors.ts';

/** The unit that archives are made of. */
export const TAR_BLOCK_BYTES = 512;

/** A header as it stands, before extended headers change it. */
export interface TarHeader {
  readonly name: string;
  readonly linkName: string;
  readonly sizeBytes: number;
  /** One character: `0` a file, `5` a directory, `x` a header that extends the next one … */
  readonly typeFlag: string;
}

/** Reads a header. @throws {DockyardError} ERR_ACI_INVALID */
export function parseTarHeader(block: Buffer): TarHeader {
  requireChecksum(block);
  const magic = block.toString('latin1', 257, 265);
  const isPosix = magic.startsWith('ustar\0');
  if (!isPosix && magic !== 'ustar  \0') throw invalid('a header is neither of POSIX nor of GNU form');
  const name = field(block, 0, 100);
  const prefix = isPosix ? field(block, 345, 155) : '';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: field(block, 157, 100),
    sizeBytes: numberField(block, 124, 12),
    typeFlag: String.fromCharCode(block[156] ?? 0),
  };
}

/** True for the blocks that end an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/** Bytes that fill the last block of a body. */
export function paddingBytes(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

/** Records of an extended header: lines of a length, a key and a value. @throws {DockyardError} ERR_ACI_INVALID */
export function parsePaxRecords(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 ? '' : body.toString('latin1', at, space);
    const end = /^[1-9]\d{0,8}$/.test(digits) ? at + Number(digits) : 0;
    const equals = body.indexOf(0x3d, space);
    if (end > body.length || equals === -1 || equals >= end || body[end - 1] !== 0x0a)
      throw invalid('an extended header is malformed');
    const key = body.toString('latin1', space + 1, equals);
    if (records.has(key)) throw invalid(`an extended header says ${quoted(key)} twice`);
    records.set(key, body.toString('latin1', equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** A size that an extended header gives. @throws {DockyardError} ERR_ACI_INVALID */
export function parsePaxSize(text: string): number {
  const sizeBytes = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(sizeBytes)) throw invalid('an extended header gives no proper size');
  return sizeBytes;
}

/** The checksum is that of the header with spaces in its place; very old programs added the bytes as signed ones. */
function requireChecksum(block: Buffer): void {
  const stated = numberField(block, 148, 8);
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at += 1) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (stated !== unsigned && stated !== signed) throw invalid('the checksum of a header is wrong');
}

function field(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString('latin1', start, end === -1 || end > start + length ? start + length : end);
}

/** Octal digits, or a big-endian number where the first bit is set. */
function numberField(block: Buffer, start: number, length: number): number {
  const first = block[start] ?? 0;
  if ((first & 0x80) !== 0) {
    const value = BigInt(`0x${block.toString('hex', start + 1, start + length)}`);
    if (first !== 0x80 || value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid('a header gives no proper number');
    return Number(value);
  }
  const digits = field(block, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw invalid('a header gives no proper number');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function invalid(what: string): Error {
  return appcError('ERR_ACI_INVALID', `the archive is damaged: ${what}`);
}
