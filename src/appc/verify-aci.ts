/** Whether a file is the app container image that was meant: its form, its image ID, its name and labels, its signature. */
import { inspectAci, type AciFacts, type AciLimits } from './archive/aci-inspection.ts';
import { appcError, quoted } from './errors.ts';
import { forkBytes } from './fork-bytes.ts';
import { checkSignature, type SignatureFacts } from './signature/detached-signature.ts';
import type { Keyring } from './signature/keyring.ts';
import { missingLabel } from './values/ac-name.ts';
import { formatAppReference, type AppReference } from './values/app-reference.ts';
import type { ImageId } from './values/image-id.ts';
import type { ImageManifest } from './values/image-manifest.ts';

/** What is expected of a file. What is left out is not checked. */
export interface AciExpectation {
  /** What was asked for. `version=latest` stands for any version. */
  readonly reference?: AppReference | undefined;
  readonly imageId?: ImageId | undefined;
  /** Who must have signed it. */
  readonly signed?: { readonly signature: Uint8Array; readonly keyring: Keyring } | undefined;
}

/** How it is checked. */
export interface VerifyOptions {
  readonly limits?: AciLimits | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Now, in milliseconds since the epoch: for signatures that expire. */
  readonly nowMs: number;
}

/** What was found. */
export interface VerifiedAci extends AciFacts {
  /** Absent where no signature was asked for. */
  readonly signedBy: SignatureFacts | undefined;
}

/** Labels by which no image can be told to be another: servers resolve them. */
const MOVING_VERSION = 'latest';

/**
 * Reads a file once and checks it against what is expected.
 * @throws {DockyardError} ERR_ACI_INVALID, ERR_ACI_UNSAFE, ERR_ACI_TOO_LARGE, ERR_ACI_MANIFEST_INVALID, ERR_ACI_MISMATCH,
 *   ERR_SIGNATURE_INVALID; what the source throws
 */
export async function verifyAci(
  source: AsyncIterable<Uint8Array>,
  expected: AciExpectation,
  { limits, signal, nowMs }: VerifyOptions,
): Promise<VerifiedAci> {
  const { imageId, reference, signed } = expected;
  const [facts, signedBy] = await forkBytes<[AciFacts, SignatureFacts | undefined]>(source, [
    async (branch) => await inspectAci(branch, { limits, signal }),
    async (branch) => (signed === undefined ? undefined : await checkSignature(branch, { ...signed, nowMs })),
  ]);
  if (imageId !== undefined && facts.imageId !== imageId)
    throw mismatch(`the image has the ID ${facts.imageId}, ${imageId} was expected`);
  if (reference !== undefined) requireMeant(facts.manifest, reference);
  return { ...facts, signedBy };
}

/** @throws {DockyardError} ERR_ACI_MISMATCH when an image has another name than was asked for, or other labels */
export function requireMeant(manifest: Pick<ImageManifest, 'name' | 'labels'>, reference: AppReference): void {
  const asked = formatAppReference(reference);
  if (manifest.name !== reference.name)
    throw mismatch(`${quoted(asked)} was asked for, the image is named ${quoted(manifest.name)}`);
  const wanted = new Map(reference.labels);
  if (wanted.get('version') === MOVING_VERSION) wanted.delete('version');
  const label = missingLabel(wanted, manifest.labels);
  if (label === undefined) return;
  const found = manifest.labels.get(label);
  throw mismatch(
    `${quoted(asked)} was asked for, the image has ${found === undefined ? `no label '${label}'` : `${label}=${quoted(found)}`}`,
  );
}

function mismatch(what: string): Error {
  return appcError('ERR_ACI_MISMATCH', `this is not the image that was meant: ${what}`);
}
