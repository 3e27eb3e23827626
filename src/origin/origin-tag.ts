/** Reading the answer to a HEAD of a tag. */
import type { Digest } from '../oci/digest.ts';
import { bareMediaType } from '../oci/media-type.ts';
import { contentLength } from './answer-reading.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { toldDigest } from './origin-manifest.ts';

/** What a tag stands for at its upstream. */
export interface ResolvedTag {
  readonly digest: Digest;
  /** Without parameters. */
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** The manifest itself, where the upstream's HEAD was of no use and it had to be fetched. */
  readonly bytes?: Buffer | undefined;
}

/**
 * What a HEAD says of a tag: `undefined` for 404, and `unclear` when only a GET can tell, because the answer lacks the digest,
 * the length or a media type of a manifest, or the method is not supported.
 */
export async function readTagHead(answer: HttpAnswer): Promise<ResolvedTag | undefined | 'unclear'> {
  await answer.discard();
  if (answer.status === 404) return undefined;
  const digest = toldDigest(answer);
  const sizeBytes = contentLength(answer);
  const mediaType = bareMediaType(answer.header('content-type') ?? '');
  const isManifestType = mediaType.startsWith('application/vnd.');
  if (answer.status !== 200 || digest === undefined || sizeBytes === undefined || !isManifestType) return 'unclear';
  return { digest, mediaType, sizeBytes };
}
