/** The check of app container images that come by torrent: form, image ID, name and signature, before they get their name. */
import { appcError } from '../../src/appc/errors.ts';
import { MAX_SIGNATURE_BYTES } from '../../src/appc/signature/detached-signature.ts';
import type { AppReference } from '../../src/appc/values/app-reference.ts';
import { verifyAci, type VerifiedAci } from '../../src/appc/verify-aci.ts';
import type { TorrentFile, TorrentInfo } from '../../src/torrent/metainfo.ts';
import type { AciTrust } from './aci-trust.ts';
import { checkDigests, readTorrentBytes, type ReadRange } from './content-checks.ts';
import type { ContentCheck } from './fetch-torrent.ts';

const SIGNATURE_SUFFIX = '.asc';

/** Whether a torrent says that it holds an app container image. */
export function holdsAci({ files }: TorrentInfo): boolean {
  return files.some(isAci);
}

/** What is expected, and whom to tell what was found. */
export interface AciCheckConfig {
  readonly trust: AciTrust;
  readonly reference?: AppReference | undefined;
  readonly onVerified: (verified: VerifiedAci) => void;
}

/**
 * Checks every image among the files; a torrent of one file is one whatever its name. The signature is the one that was given,
 * or the file beside the image.
 * @throws {DockyardError} those of `verifyAci`; ERR_SIGNATURE_MISSING
 */
export function aciCheck({ trust, reference, onVerified }: AciCheckConfig): ContentCheck {
  return async (info, read, options) => {
    await checkDigests(info, read, options);
    const images = info.isSingleFile ? info.files : info.files.filter(isAci);
    for (const file of images) {
      const { keyring, imageId } = trust;
      const signature = keyring === undefined ? undefined : await signatureOf(file, info, trust, read);
      const signed = keyring === undefined || signature === undefined ? undefined : { signature, keyring };
      const source = readTorrentBytes(file, read, options);
      onVerified(await verifyAci(source, { reference, imageId, signed }, { ...options, nowMs: Date.now() }));
    }
  };
}

async function signatureOf(
  file: TorrentFile,
  info: TorrentInfo,
  { signature }: AciTrust,
  read: ReadRange,
): Promise<Uint8Array> {
  if (signature !== undefined) return signature;
  const path = `${file.path.join('/')}${SIGNATURE_SUFFIX}`;
  const found = info.files.find((other) => other.path.join('/') === path);
  if (found === undefined || found.sizeBytes > MAX_SIGNATURE_BYTES || found.sizeBytes === 0) {
    throw appcError(
      'ERR_SIGNATURE_MISSING',
      `the torrent '${info.name}' has no signature ${path}; --signature names one`,
    );
  }
  return await read({ start: found.offsetBytes, end: found.offsetBytes + found.sizeBytes });
}

function isAci({ path, isPadding }: TorrentFile): boolean {
  return !isPadding && (path.at(-1)?.endsWith('.aci') ?? false);
}
