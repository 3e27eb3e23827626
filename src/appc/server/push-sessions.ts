/**
 * Pushes as acpush makes them: begun, then manifest, signature and image in this order, then completed, when the image is
 * seen. acpush takes 200 and 400 alike for every step but the last, whose answer says whether the push is done: so what was
 * wrong with a step is told there again.
 * @see appc/acpush, lib/lib.go; appc/spec#418
 */
import { randomBytes } from 'node:crypto';
import { isDockyardError } from '../../oci/error.ts';
import { isJsonObject, parseStrictJson, type JsonValue } from '../../oci/strict-json.ts';
import { appcError } from '../errors.ts';
import { MAX_SIGNATURE_BYTES, parseSignature } from '../signature/detached-signature.ts';
import type { AppReference } from '../values/app-reference.ts';
import { MAX_IMAGE_MANIFEST_BYTES, parseImageManifest } from '../values/image-manifest.ts';
import { requireMeant } from '../verify-aci.ts';
import type { AciIntake, TakenAci } from './aci-intake.ts';
import type { ShelvedAci } from './aci-shelf.ts';
import { APPC_PATHS } from './discovery-page.ts';
import { ExpiringMap } from './expiring-map.ts';
import { jsonAnswer, pushEvent, textAnswer, type AppcDocument, type AppcRequest } from './server-ports.ts';

export interface PushSessionsDeps {
  readonly intake: AciIntake;
  readonly clock: { nowMs(): number };
  /** Told of an image that can be seen from now on. */
  readonly onPublished: (aci: ShelvedAci) => void;
}

/** One push that is under way. */
interface PushSession {
  readonly reference: AppReference;
  /** What the manifest says that came first. */
  manifest: AppReference | undefined;
  signature: Buffer | undefined;
  taken: TakenAci | undefined;
  /** The image is on its way. */
  isTaking: boolean;
  /** What was wrong with a step. */
  failure: string | undefined;
}

/** So many pushes may be under way; the oldest is given up for one more. */
const MAX_SESSIONS = 256;
const SESSION_TTL_MS = 3_600_000;
const MAX_COMPLETE_BYTES = 64 * 1024;

/** Keeps what is under way in memory: a restart ends it, and its client begins again. */
export class PushSessions {
  readonly #deps: PushSessionsDeps;
  readonly #sessions: ExpiringMap<PushSession>;

  constructor(deps: PushSessionsDeps) {
    this.#deps = deps;
    this.#sessions = new ExpiringMap(deps.clock, {
      maxEntries: MAX_SESSIONS,
      ttlMs: SESSION_TTL_MS,
      // What cannot be dropped expires in storage.
      onDrop: (session) => void session.taken?.drop().catch(() => undefined),
    });
  }

  /** Begins a push and says where its parts go. */
  begin(reference: AppReference, baseUrl: string): AppcDocument {
    const id = randomBytes(16).toString('hex');
    const blank = { manifest: undefined, signature: undefined, taken: undefined, isTaking: false, failure: undefined };
    this.#sessions.set(id, { reference, ...blank });
    const place = `${baseUrl}${APPC_PATHS.sessions}/${id}`;
    return jsonAnswer(200, {
      aci_push_version: '0.0.1',
      multipart: false,
      upload_manifest_url: `${place}/manifest`,
      upload_signature_url: `${place}/signature`,
      upload_aci_url: `${place}/aci`,
      completed_url: `${place}/complete`,
    });
  }

  /** @param path what stands after the path of sessions: `ID/STEP` @throws {DockyardError} those of storage */
  async answer(path: string, request: AppcRequest): Promise<AppcDocument> {
    const [, id = '', step = ''] = /^([a-f0-9]{32})\/(manifest|signature|aci|complete)$/.exec(path) ?? [];
    const session = this.#sessions.get(id);
    if (session === undefined) return textAnswer(404, 'there is no such push: it is over, or was never begun');
    const wanted = step === 'complete' ? 'POST' : 'PUT';
    if (request.method !== wanted) return textAnswer(405, `use ${wanted}`, { Allow: wanted });
    if (step === 'complete') return await this.#complete(id, request);
    try {
      await this.#step(step, session, request);
      return textAnswer(200, 'taken');
    } catch (error) {
      if (!isDockyardError(error) || !TOLD_AT_THE_END.test(error.code)) throw error;
      session.failure ??= error.message;
      return textAnswer(400, error.message);
    }
  }

  async #step(step: string, session: PushSession, request: AppcRequest): Promise<void> {
    if (step === 'manifest') {
      const { labels, name } = parseImageManifest(await request.wholeBody(MAX_IMAGE_MANIFEST_BYTES));
      requireMeant({ name, labels }, session.reference);
      session.manifest = { name, labels };
      return;
    }
    if (step === 'signature') {
      const signature = await request.wholeBody(MAX_SIGNATURE_BYTES);
      // Clients that sign nothing send nothing.
      if (signature.length === 0) return;
      await parseSignature(signature);
      session.signature = signature;
      return;
    }
    await this.#takeImage(session, request);
  }

  async #takeImage(session: PushSession, request: AppcRequest): Promise<void> {
    if (session.taken !== undefined || session.isTaking)
      throw appcError('ERR_UPLOAD_STEP', 'the image of this push is here already, or on its way');
    const { manifest, reference, signature } = session;
    session.isTaking = true;
    try {
      const taken = await this.#deps.intake.take(request.body(), { reference, signature }, request);
      session.taken = taken;
      if (manifest !== undefined) requireMeant(taken.facts.manifest, manifest);
    } finally {
      session.isTaking = false;
    }
  }

  async #complete(id: string, request: AppcRequest): Promise<AppcDocument> {
    const { success } = readComplete(await request.wholeBody(MAX_COMPLETE_BYTES));
    const session = this.#sessions.take(id);
    if (session === undefined) return textAnswer(404, 'there is no such push');
    const { failure, taken } = session;
    if (!success || failure !== undefined || taken === undefined) {
      await taken?.drop();
      const reason = failure ?? (success ? 'no image was pushed' : 'the client gave up');
      return jsonAnswer(success ? 400 : 200, { success: false, server_reason: reason });
    }
    let aci: ShelvedAci;
    try {
      aci = await taken.publish(request);
    } catch (error) {
      await taken.drop();
      if (!isDockyardError(error, 'ERR_TAG_IMMUTABLE')) throw error;
      return jsonAnswer(400, { success: false, server_reason: error.message });
    }
    this.#deps.onPublished(aci);
    return { ...jsonAnswer(200, { success: true }), event: pushEvent(aci) };
  }
}

/** What is wrong with the push itself, as opposed to this seed. */
const TOLD_AT_THE_END = /^ERR_(?:AC_NAME_|ACI_|SIGNATURE_|UPLOAD_STEP|NAME_INVALID|NAME_NOT_ALLOWED|BODY_TOO_LARGE)/;

function readComplete(bytes: Buffer): { readonly success: boolean } {
  let document: JsonValue;
  try {
    document = parseStrictJson(bytes);
  } catch (cause) {
    throw appcError('ERR_UPLOAD_STEP', 'what ends a push is not valid JSON', { cause });
  }
  if (isJsonObject(document) && typeof document['success'] === 'boolean') return { success: document['success'] };
  throw appcError('ERR_UPLOAD_STEP', "what ends a push has no 'success' of true or false");
}
