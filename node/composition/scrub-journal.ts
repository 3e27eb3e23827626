/** The journal of scrubbing as a file of the data folder. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { isDigest, type Digest } from '../../src/oci/digest.ts';
import { isRepositoryName, type RepositoryName } from '../../src/oci/name.ts';
import type { ScrubJournal, ScrubState } from '../../src/seed/scrub-journal.ts';

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value));
const repository = z.custom<RepositoryName>((value) => typeof value === 'string' && isRepositoryName(value));
const count = z.number().nonnegative();

const STATE = z.object({
  passStartedAtMs: count.optional(),
  after: digest.optional(),
  counts: z.object({ blobs: count, readBytes: count, damaged: count, missing: count, repaired: count }),
  lastEndAtMs: count,
  hasEnded: z.boolean(),
  lost: z.array(z.object({ digest, repository, foundAtMs: count })),
});

/** @param path the file; made when it is first saved to */
export function fileScrubJournal(path: string, log: Logger): ScrubJournal {
  const load = async (): Promise<ScrubState | undefined> => {
    try {
      return STATE.parse(JSON.parse(await readFile(path, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn({ err: error, path }, 'how far scrubbing had come cannot be read: it begins anew');
      return undefined;
    }
  };
  const save = async (state: ScrubState): Promise<void> => {
    // Whole or not at all; not synced, since a loss of power costs no more than a pass from the beginning.
    await writeFile(`${path}.new`, JSON.stringify(state));
    await rename(`${path}.new`, path);
  };
  return { load, save };
}
