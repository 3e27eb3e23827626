/** Changes as seeds tell each other of them: JSON. What another seed says is checked, field by field. */
import { z } from 'zod';
import type { Change } from '../catalog/changes.ts';
import { isDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/name.ts';
import { replicationError } from './errors.ts';
import type { ChangesQuestion, PeerChanges } from './peer-seed.ts';

/** Where a seed answers, behind `/v2/`. No repository can have this name. */
export const CHANGES_PATH = '_dockyard/changes';

/** Changes in one answer. A change takes a few hundred bytes. */
export const MAX_PAGE = 1000;

/** The longest that an answer may wait for news. */
export const MAX_WAIT_MS = 60_000;

/** Characters in the name of a catalog or of a chapter. */
const MAX_NAME = 100;

const count = z.number().int().nonnegative();

const PAGE = z.object({
  log: z.string().min(1).max(MAX_NAME),
  chapter: z.string().max(MAX_NAME).default(''),
  upTo: count,
  changes: z
    .array(
      z.object({
        repository: z.custom<RepositoryName>((value) => typeof value === 'string' && isRepositoryName(value)),
        reference: z.custom<Tag | Digest>((value) => typeof value === 'string' && (isTag(value) || isDigest(value))),
        digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)).optional(),
        atMs: count,
      }),
    )
    .max(MAX_PAGE),
});

/** The query of a question. */
export function formatQuestion({ after, chapter, limit, waitMs }: ChangesQuestion): string {
  const named = chapter === '' ? {} : { chapter };
  return new URLSearchParams({ after: String(after), n: String(limit), wait: String(waitMs), ...named }).toString();
}

/** Reads a question; what is absent or beyond the bounds is taken for the next thing that makes sense. */
export function parseQuestion(query: URLSearchParams): ChangesQuestion {
  const number = (name: string, fallback: number, most: number): number => {
    const text = query.get(name) ?? '';
    return /^\d{1,15}$/.test(text) ? Math.min(Number(text), most) : fallback;
  };
  return {
    after: number('after', 0, Number.MAX_SAFE_INTEGER),
    chapter: (query.get('chapter') ?? '').slice(0, MAX_NAME),
    limit: Math.max(1, number('n', MAX_PAGE, MAX_PAGE)),
    waitMs: number('wait', 0, MAX_WAIT_MS),
  };
}

/** The answer. */
export function formatChanges({ log, chapter, upTo, changes }: PeerChanges): Buffer {
  const told = changes.map(({ repository, reference, digest, atMs }): Change => ({
    repository,
    reference,
    digest,
    atMs,
  }));
  return Buffer.from(JSON.stringify({ log, chapter, upTo, changes: told }));
}

/** Reads an answer. @throws {DockyardError} ERR_REPLICATION_ANSWER */
export function parseChanges(bytes: Buffer, peer: string): PeerChanges {
  try {
    return PAGE.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw replicationError('ERR_REPLICATION_ANSWER', `the changes of '${peer}' cannot be read`, { cause });
  }
}
