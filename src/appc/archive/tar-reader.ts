/**
 * Reads a tar archive entry by entry. It is strict where readers differ, because what two readers see differently is
 * where attacks hide: nothing may follow the end but zeros, headers that extend others must have another after them, and an
 * entry that has no body may not have a size.
 */
import { appcError, quoted } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';
import {
  isZeroBlock,
  paddingBytes,
  parsePaxRecords,
  parsePaxSize,
  parseTarHeader,
  TAR_BLOCK_BYTES,
  type TarHeader,
} from './tar-header.ts';

/** What an entry is. */
export type TarEntryType =
  'file' | 'directory' | 'symbolic-link' | 'hard-link' | 'fifo' | 'character-device' | 'block-device';

/** One entry. Names are kept byte for byte, as latin1. */
export interface TarEntry {
  readonly path: string;
  readonly type: TarEntryType;
  /** Where a link leads; empty for everything else. */
  readonly linkTarget: string;
  readonly sizeBytes: number;
  /** The bytes of a file. Good until the next entry is asked for; what is not read is passed over. */
  content(): AsyncIterable<Uint8Array>;
}

/** Extended headers hold paths and attributes; more than this is no honest one. */
export const MAX_EXTENDED_HEADER_BYTES = 1024 * 1024;

const TYPES: Readonly<Record<string, TarEntryType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard-link',
  '2': 'symbolic-link',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
};

/**
 * The entries of an archive, in order. When it ends by itself, the source was read to its end.
 * @throws {DockyardError} ERR_ACI_INVALID; what the source throws
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(source);
  try {
    for (;;) {
      const found = await nextHeader(reader);
      if (found === undefined) break;
      const body = new Body(reader, found.sizeBytes);
      yield { ...found, content: () => body.chunks() };
      await body.pass();
    }
    await requireZeros(reader);
  } finally {
    await reader.close();
  }
}

type Found = Omit<TarEntry, 'content'>;

/** What headers said that extend the one after them. */
interface Extension {
  readonly path?: string | undefined;
  readonly linkTarget?: string | undefined;
  readonly sizeBytes?: number | undefined;
}

/** The next header that is none of an extension; `undefined` at the end of the archive. */
async function nextHeader(reader: ByteReader): Promise<Found | undefined> {
  let extension: Extension = {};
  for (;;) {
    const block = await reader.upTo(TAR_BLOCK_BYTES);
    if (block.length < TAR_BLOCK_BYTES) throw cutOff();
    if (isZeroBlock(block)) {
      if (Object.keys(extension).length > 0) throw invalid('its last header extends none');
      return undefined;
    }
    const header = parseTarHeader(block);
    const type = TYPES[header.typeFlag];
    if (type !== undefined) return foundEntry(header, type, extension);
    extension = { ...extension, ...(await readExtension(reader, header)) };
  }
}

function foundEntry(header: TarHeader, type: TarEntryType, extension: Extension): Found {
  const path = extension.path ?? header.name;
  const sizeBytes = extension.sizeBytes ?? header.sizeBytes;
  // In archives older than POSIX a slash at the end is what tells a directory.
  const isDirectory = type === 'directory' || (header.typeFlag === '\0' && path.endsWith('/'));
  const found: Found = {
    path,
    type: isDirectory ? 'directory' : type,
    linkTarget: type === 'symbolic-link' || type === 'hard-link' ? (extension.linkTarget ?? header.linkName) : '',
    sizeBytes,
  };
  if (found.type !== 'file' && sizeBytes !== 0) throw invalid(`${quoted(path)} is no file and yet has a body`);
  return found;
}

async function readExtension(reader: ByteReader, header: TarHeader): Promise<Extension> {
  const { typeFlag, sizeBytes } = header;
  if (!['x', 'g', 'L', 'K'].includes(typeFlag))
    throw invalid(`${quoted(header.name)} is of the unknown type ${quoted(typeFlag)}`);
  if (sizeBytes > MAX_EXTENDED_HEADER_BYTES) throw invalid(`an extended header has ${sizeBytes} bytes`);
  const body = await reader.upTo(sizeBytes);
  const padding = await reader.upTo(paddingBytes(sizeBytes));
  if (body.length + padding.length < sizeBytes + paddingBytes(sizeBytes)) throw cutOff();
  if (typeFlag === 'L' || typeFlag === 'K') {
    const text = body.toString('latin1').replace(/\0+$/, '');
    return typeFlag === 'L' ? { path: text } : { linkTarget: text };
  }
  const records = parsePaxRecords(body);
  const size = records.get('size');
  const path = records.get('GNU.sparse.name') ?? records.get('path');
  const linkTarget = records.get('linkpath');
  if (typeFlag === 'g') {
    if (size !== undefined || path !== undefined || linkTarget !== undefined)
      throw invalid('a global header gives all entries one name or size');
    return {};
  }
  return {
    ...(path === undefined ? {} : { path }),
    ...(linkTarget === undefined ? {} : { linkTarget }),
    ...(size === undefined ? {} : { sizeBytes: parsePaxSize(size) }),
  };
}

/** The bytes of one entry and what fills its last block. */
class Body {
  readonly #reader: ByteReader;
  #leftBytes: number;
  #paddingBytes: number;

  constructor(reader: ByteReader, sizeBytes: number) {
    this.#reader = reader;
    this.#leftBytes = sizeBytes;
    this.#paddingBytes = paddingBytes(sizeBytes);
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    while (this.#leftBytes > 0) {
      const chunk = await this.#reader.some(this.#leftBytes);
      if (chunk === undefined) throw cutOff();
      this.#leftBytes -= chunk.length;
      yield chunk;
    }
  }

  /** Goes to where the next header begins. */
  async pass(): Promise<void> {
    this.#leftBytes += this.#paddingBytes;
    this.#paddingBytes = 0;
    while (this.#leftBytes > 0) {
      const chunk = await this.#reader.some(this.#leftBytes);
      if (chunk === undefined) throw cutOff();
      this.#leftBytes -= chunk.length;
    }
  }
}

async function requireZeros(reader: ByteReader): Promise<void> {
  for (;;) {
    const chunk = await reader.some(Number.MAX_SAFE_INTEGER);
    if (chunk === undefined) return;
    if (!isZeroBlock(chunk)) throw invalid('something follows its end');
  }
}

function cutOff(): Error {
  return invalid('it is cut off');
}

function invalid(what: string): Error {
  return appcError('ERR_ACI_INVALID', `the archive is damaged: ${what}`);
}
