/** Takes an image that is pushed: it is kept where nobody sees it while it is checked, and seen only when all is right. */
import { createHash } from 'node:crypto';
import { parseDigest, type Digest } from '../../oci/digest.ts';
import { isDockyardError } from '../../oci/error.ts';
import type { AciLimits } from '../archive/aci-inspection.ts';
import { appcError } from '../errors.ts';
import { forkBytes } from '../fork-bytes.ts';
import { parseSignature, checkSignature } from '../signature/detached-signature.ts';
import type { Keyring } from '../signature/keyring.ts';
import type { AppReference } from '../values/app-reference.ts';
import { verifyAci, type VerifiedAci } from '../verify-aci.ts';
import { keyOfManifest, tagOf } from './aci-key.ts';
import type { AciShelf, ShelfOptions, ShelvedAci } from './aci-shelf.ts';

export interface AciIntakeDeps {
  readonly shelf: AciShelf;
  readonly clock: { nowMs(): number };
}

export interface AciIntakeConfig {
  readonly keyring: Keyring;
  /** Whether images are taken without a signature, or with one that no key is there to check. */
  readonly allowUnsigned: boolean;
  readonly limits: AciLimits;
}

/** An image that was taken and checked, and is not seen yet. */
export interface TakenAci {
  readonly facts: VerifiedAci;
  publish(options: ShelfOptions): Promise<ShelvedAci>;
  /** Idempotent, and without effect after `publish`. */
  drop(): Promise<void>;
}

/** Checks what is pushed. */
export class AciIntake {
  readonly #deps: AciIntakeDeps;
  readonly #config: AciIntakeConfig;

  constructor(deps: AciIntakeDeps, config: AciIntakeConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /**
   * Refuses before the file is sent what could not be taken with this signature, or with none.
   * @throws {DockyardError} ERR_SIGNATURE_MISSING, ERR_SIGNATURE_INVALID
   */
  async requireSignature(signature: Buffer | undefined): Promise<void> {
    const { allowUnsigned, keyring } = this.#config;
    if (signature !== undefined) await parseSignature(signature);
    if (allowUnsigned) return;
    if (keyring.keys.length === 0)
      throw appcError(
        'ERR_SIGNATURE_MISSING',
        'this seed trusts no keys, and takes no unsigned images: nothing can be pushed',
      );
    if (signature === undefined)
      throw appcError('ERR_SIGNATURE_MISSING', 'push the signature (.aci.asc) first: unsigned images are not taken');
  }

  /**
   * Takes a file. Nothing of it stays when it is refused.
   * @throws {DockyardError} as `requireSignature` and `verifyAci`, and those of storage
   */
  async take(
    body: AsyncIterable<Uint8Array>,
    { reference, signature }: { readonly reference: AppReference; readonly signature: Buffer | undefined },
    options: ShelfOptions,
  ): Promise<TakenAci> {
    await this.requireSignature(signature);
    const { clock, shelf } = this.#deps;
    const { keyring, limits } = this.#config;
    const signed = signature === undefined || keyring.keys.length === 0 ? undefined : { signature, keyring };
    const { signal } = options;
    const staged = await shelf.stage(reference, options);
    try {
      const [facts, digest] = await forkBytes<[VerifiedAci, Digest, void]>(body, [
        async (branch) => await verifyAci(branch, { reference, signed }, { limits, signal, nowMs: clock.nowMs() }),
        async (branch) => await sha256Of(branch),
        async (branch) => await staged.append(branch, options),
      ]);
      const key = keyOfManifest(facts.manifest);
      // Too long labels are told before anything is published.
      tagOf(key);
      const record = { key, imageId: facts.imageId, digest, manifest: facts.manifest.bytes, signature };
      return {
        facts,
        publish: async (options) => await staged.publish(record, options),
        drop: async () => await staged.drop(),
      };
    } catch (error) {
      // What cannot be dropped now expires; what was wrong is what is told.
      await staged.drop().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Adds a signature to an image that is kept. @returns undefined when it is not for that image
   * @throws {DockyardError} those of storage
   */
  async sign(found: ShelvedAci, signature: Buffer, options: ShelfOptions): Promise<ShelvedAci | undefined> {
    const { clock, shelf } = this.#deps;
    const { keyring } = this.#config;
    await using reading = await shelf.open(found.key, found.aci.digest, options);
    if (reading === undefined || keyring.keys.length === 0) return undefined;
    const bytes = reading.read({ start: 0, end: reading.sizeBytes });
    try {
      await checkSignature(bytes, { signature, keyring, nowMs: clock.nowMs() });
    } catch (error) {
      if (isDockyardError(error, 'ERR_SIGNATURE_INVALID')) return undefined;
      throw error;
    }
    return await shelf.sign(found, signature, options);
  }
}

async function sha256Of(branch: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of branch) hash.update(chunk);
  return parseDigest(`sha256:${hash.digest('hex')}`);
}
