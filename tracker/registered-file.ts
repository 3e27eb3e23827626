/** The operator's file of info-hashes that a closed tracker serves: one a line, or a magnet link; `#` begins a comment. */
import { readFile, stat } from 'node:fs/promises';
import { asError } from '../src/oci/error.ts';
import { trackerError } from './errors.ts';
import { parseInfoHash } from './registrations.ts';

/** A hundred thousand info-hashes with room for comments; more does not fit into the tracker. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;

/** Reads the file. @throws {DockyardError} ERR_TRACKER_REGISTERED, with the line that is wrong */
export async function readRegisteredFile(path: string): Promise<ReadonlySet<string>> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new RangeError(`it has ${size} bytes; at most ${MAX_FILE_BYTES} are read`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    const reason = asError(error).message;
    throw trackerError('ERR_TRACKER_REGISTERED', `cannot read the info-hashes in ${path}: ${reason}`, { cause: error });
  }
  const infoHashes = new Set<string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const entry = line.replace(/(?:^|\s)#.*$/, '').trim();
    if (entry === '') continue;
    const infoHash = parseInfoHash(entry);
    if (infoHash === undefined)
      throw trackerError(
        'ERR_TRACKER_REGISTERED',
        `${path}:${index + 1}: '${entry.slice(0, 100)}' is neither an info-hash (40 hexadecimal digits) nor a magnet link`,
      );
    infoHashes.add(infoHash);
  }
  return infoHashes;
}
