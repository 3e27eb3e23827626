/** The platform of an image that comes from no index: its configuration names it. */
import type { Descriptor, Platform } from '../../src/oci/descriptor.ts';
import { digestAlgorithm, digestOf } from '../../src/oci/digest.ts';
import { parseManifest } from '../../src/oci/manifest.ts';
import { formatPlatform, isPlatform } from '../../src/oci/platform.ts';
import { fetchError } from './errors.ts';
import type { ImagePlan } from './image-plan.ts';

/** The configuration of an image with a thousand layers has some hundred kilobytes. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** Reads a small blob whole; `undefined` when there is none. */
export type ReadBlob = (blob: Descriptor) => Promise<AsyncIterable<Uint8Array> | undefined>;

/**
 * Refuses an image that is for another platform than was asked for, as Docker does. What was chosen of an index is right by that;
 * what names no platform, as things that are no container images, is for any.
 * @throws {DockyardError} ERR_FETCH_UNSUPPORTED
 */
export async function assertPlatform({ top }: ImagePlan, wanted: Platform, readBlob: ReadBlob): Promise<void> {
  const { config } = parseManifest(top.bytes, top.mediaType);
  if (top.platform !== undefined || config === undefined || config.sizeBytes > MAX_CONFIG_BYTES) return;
  const offered = platformIn(await readWhole(config, readBlob));
  if (offered === undefined || isPlatform(offered, wanted)) return;
  throw fetchError(
    'ERR_FETCH_UNSUPPORTED',
    `the image is not for ${formatPlatform(wanted)}; it names ${formatPlatform(offered)}`,
  );
}

/** @returns `undefined` of what is not there or not right, which is found when the image is fetched */
async function readWhole(blob: Descriptor, readBlob: ReadBlob): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of (await readBlob(blob)) ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > blob.sizeBytes) return undefined;
    // What passes by may be memory that is used again.
    chunks.push(Buffer.from(chunk));
  }
  const bytes = Buffer.concat(chunks);
  return digestOf(bytes, digestAlgorithm(blob.digest)) === blob.digest ? bytes : undefined;
}

function platformIn(config: Buffer | undefined): Platform | undefined {
  if (config === undefined) return undefined;
  let told: unknown;
  try {
    told = JSON.parse(config.toString());
  } catch {
    // The configuration of something else need not be JSON.
    return undefined;
  }
  if (typeof told !== 'object' || told === null || !('os' in told) || !('architecture' in told)) return undefined;
  const { os, architecture } = told;
  if (typeof os !== 'string' || typeof architecture !== 'string' || os === '' || architecture === '') return undefined;
  const variant =
    'variant' in told && typeof told.variant === 'string' && told.variant !== '' ? told.variant : undefined;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}
