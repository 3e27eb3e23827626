/** The values of a catalog as JSON. What cannot be read is damage, and said to be. */
import { z } from 'zod';
import { isDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName, type Tag } from '../oci/name.ts';
import { asError } from '../oci/error.ts';
import { catalogError } from './errors.ts';

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value));
const count = z.number().int().nonnegative();
const timeMs = z.number().nonnegative();
const repository = z.custom<RepositoryName>((value) => typeof value === 'string' && isRepositoryName(value));
const reference = z.custom<Tag | Digest>((value) => typeof value === 'string' && (isTag(value) || isDigest(value)));
/** Without a digest once it was deleted. */
const standing = { digest: digest.optional(), atMs: timeMs };
const annotations = z.record(z.string(), z.string()).default({});

/** The shapes of all records; fields that a later release adds are passed over. */
export const RECORD = {
  blob: z.object({ sizeBytes: count, linkedAtMs: timeMs }),
  manifest: z.object({
    mediaType: z.string(),
    sizeBytes: count,
    pushedAtMs: timeMs,
    subject: digest.optional(),
    artifactType: z.string().optional(),
    annotations,
    blobs: z.array(digest),
    manifests: z.array(digest),
  }),
  referrer: z.object({ mediaType: z.string(), sizeBytes: count, artifactType: z.string().optional(), annotations }),
  tag: z.object({ digest, updatedAtMs: timeMs }),
  pull: z.object({ atMs: timeMs }),
  upload: z.object({ repository, startedAtMs: timeMs }),
  lastChange: z.object({ ...standing, number: count }),
  change: z.object({ ...standing, repository, reference }),
  chapters: z.array(z.object({ id: z.string(), after: count })),
} as const;

/** A record as it is kept. */
export function encodeRecord<Shape extends z.ZodType>(_shape: Shape, record: z.input<Shape>): Buffer {
  return Buffer.from(JSON.stringify(record));
}

/** Reads a record. @throws {DockyardError} ERR_CATALOG_DAMAGED */
export function decodeRecord<Shape extends z.ZodType>(shape: Shape, key: string, value: Buffer): z.output<Shape> {
  try {
    return shape.parse(JSON.parse(value.toString('utf8')));
  } catch (error) {
    const shown = JSON.stringify(key);
    throw catalogError('ERR_CATALOG_DAMAGED', `the entry ${shown} of the catalog cannot be read`, {
      cause: asError(error),
    });
  }
}
