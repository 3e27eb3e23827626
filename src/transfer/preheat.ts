/**
 * Has nodes fetch an image before it is needed. All are asked at once, so that they fetch as any crowd does: mostly from each
 * other. Whoever asks hands them the manifests, and asks again and again how it goes.
 */
import type { Clock } from '../origin/clock.ts';
import { asError, isDockyardError } from '../oci/error.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/repository.ts';
import { ConnectionSlots } from '../origin/connection-slots.ts';
import type { Member, MemberDirectory } from '../swarm/member.ts';
import { transferError } from './errors.ts';
import type { FoundManifest } from './manifest-ports.ts';
import type { PeerManifestExchange } from './peer-manifests.ts';
import type { Peers } from './peers.ts';
import { PREHEAT_METHOD, type PreheatDesk } from './preheat-desk.ts';
import {
  formatPreheatQuestion,
  MAX_PREHEAT_BLOBS,
  parsePreheatAnswer,
  type PreheatState,
  type WantedBlob,
} from './preheat-wire.ts';

/** All that an image is made of. */
export interface PreheatImage {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly manifests: readonly FoundManifest[];
  readonly blobs: readonly WantedBlob[];
}

/** How it goes at one node. */
export interface PreheatProgress {
  readonly peerId: string;
  readonly state: 'running' | 'done' | 'failed';
  readonly heldBlobs: number;
  readonly heldBytes: number;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

export interface PreheatDeps {
  readonly members: MemberDirectory;
  readonly peers: Pick<Peers, 'ask'>;
  readonly manifests: Pick<PeerManifestExchange, 'giveManifest'>;
  /** For this node itself. */
  readonly desk: Pick<PreheatDesk, 'answer'>;
  readonly clock: Clock;
}

interface Options {
  readonly signal: AbortSignal;
}

/** Nodes that are asked at once; further ones wait until one is done. */
const MAX_NODES_AT_ONCE = 256;
const ASK_EVERY_MS = 500;
const ASK_TIMEOUT_MS = 5_000;
/** A node that does not answer so often in a row is given up. */
const MAX_SILENCES = 5;
/** A node that gets no further for so long is given up. */
const STALL_MS = 120_000;

/** Asks nodes; one for each node. */
export class Preheat {
  readonly #deps: PreheatDeps;

  constructor(deps: PreheatDeps) {
    this.#deps = deps;
  }

  /** Has nodes fetch an image, and tells of each what changes, until all are done or have failed. */
  async *run(image: PreheatImage, nodes: readonly Member[], { signal }: Options): AsyncGenerator<PreheatProgress> {
    const told: PreheatProgress[] = [];
    let wake: () => void = () => undefined;
    const tell = (progress: PreheatProgress): void => {
      told.push(progress);
      wake();
    };
    const stop = new AbortController();
    const slots = new ConnectionSlots(MAX_NODES_AT_ONCE);
    const options = { signal: AbortSignal.any([signal, stop.signal]) };
    let left = nodes.length;
    const work = nodes.map(async (node) => {
      try {
        const release = await slots.acquire(options);
        try {
          await this.#node(image, node, tell, options);
        } finally {
          release();
        }
      } finally {
        left -= 1;
        wake();
      }
    });
    try {
      while (left > 0 || told.length > 0) {
        yield* told.splice(0);
        if (left > 0 && told.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      }
      await Promise.all(work);
    } finally {
      stop.abort();
      await Promise.allSettled(work);
    }
  }

  /** True when a node holds all blobs of an image. @throws {DockyardError} when it does not answer */
  async isHeld(image: PreheatImage, node: Member, options: Options): Promise<boolean> {
    const states = await this.#ask(image, node, image.blobs, false, options);
    return states.every(({ state }) => state === 'held');
  }

  /** Never throws but for an abort. */
  async #node(
    image: PreheatImage,
    node: Member,
    tell: (progress: PreheatProgress) => void,
    options: Options,
  ): Promise<void> {
    const course = new Course(image.blobs);
    try {
      await this.#giveManifests(image, node, options);
      await this.#follow(image, node, course, tell, options);
      tell({ peerId: node.peerId, state: course.failure === undefined ? 'done' : 'failed', ...course.report() });
    } catch (thrown) {
      options.signal.throwIfAborted();
      const { message } = asError(thrown);
      const code = isDockyardError(thrown) ? thrown.code : undefined;
      tell({ peerId: node.peerId, state: 'failed', ...course.report(), code, message });
    }
  }

  async #giveManifests({ manifests }: PreheatImage, node: Member, { signal }: Options): Promise<void> {
    if (node.peerId === this.#deps.members.self.peerId) return;
    for (const manifest of manifests) {
      await this.#deps.manifests.giveManifest(node, manifest, { signal, timeoutMs: ASK_TIMEOUT_MS });
    }
  }

  async #follow(
    image: PreheatImage,
    node: Member,
    course: Course,
    tell: (progress: PreheatProgress) => void,
    options: Options,
  ): Promise<void> {
    const { clock } = this.#deps;
    let silences = 0;
    let movedAtMs = clock.nowMs();
    for (;;) {
      try {
        const { left } = course;
        course.learn(left, await this.#ask(image, node, left, true, options));
        silences = 0;
      } catch (error) {
        options.signal.throwIfAborted();
        silences += 1;
        const isSilence = isDockyardError(error, 'ERR_LINK_TIMEOUT') || isDockyardError(error, 'ERR_LINK_FAILED');
        if (!isSilence || silences >= MAX_SILENCES) throw error;
      }
      if (course.left.length === 0) return;
      if (course.takeChange()) {
        movedAtMs = clock.nowMs();
        tell({ peerId: node.peerId, state: 'running', ...course.report() });
      } else if (clock.nowMs() - movedAtMs > STALL_MS) {
        throw transferError('ERR_PREHEAT_STALLED', `nothing has come for ${STALL_MS / 1000} s`);
      }
      await clock.sleep(ASK_EVERY_MS, options);
    }
  }

  async #ask(
    { repository }: PreheatImage,
    node: Member,
    blobs: readonly WantedBlob[],
    isWanted: boolean,
    { signal }: Options,
  ): Promise<PreheatState[]> {
    const states: PreheatState[] = [];
    for (let at = 0; at < blobs.length; at += MAX_PREHEAT_BLOBS) {
      const part = { repository, blobs: blobs.slice(at, at + MAX_PREHEAT_BLOBS), isWanted };
      if (node.peerId === this.#deps.members.self.peerId) {
        states.push(...this.#deps.desk.answer(part));
        continue;
      }
      const question = formatPreheatQuestion(part);
      const answer = await this.#deps.peers.ask(node, PREHEAT_METHOD, question, { signal, timeoutMs: ASK_TIMEOUT_MS });
      states.push(...parsePreheatAnswer(answer.value, part.blobs.length));
    }
    return states;
  }
}

/** What is known of the blobs at one node. */
class Course {
  failure: PreheatState | undefined;
  readonly #states = new Map<Digest, PreheatState>();
  readonly #blobs: readonly WantedBlob[];
  #toldBytes = -1;
  #toldBlobs = -1;

  constructor(blobs: readonly WantedBlob[]) {
    this.#blobs = blobs;
  }

  /** What is still coming. */
  get left(): readonly WantedBlob[] {
    return this.#blobs.filter(({ digest }) => {
      const state = this.#states.get(digest)?.state;
      return state !== 'held' && state !== 'failed';
    });
  }

  learn(blobs: readonly WantedBlob[], states: readonly PreheatState[]): void {
    for (const [index, { digest }] of blobs.entries()) {
      const state = states[index];
      if (state === undefined) continue;
      this.#states.set(digest, state);
      if (state.state === 'failed') this.failure ??= state;
    }
  }

  /** True when there is something new to tell. */
  takeChange(): boolean {
    const { heldBlobs, heldBytes } = this.report();
    const isChanged = heldBytes !== this.#toldBytes || heldBlobs !== this.#toldBlobs;
    [this.#toldBytes, this.#toldBlobs] = [heldBytes, heldBlobs];
    return isChanged;
  }

  report(): Omit<PreheatProgress, 'peerId' | 'state'> {
    const states = [...this.#states.values()];
    const heldBlobs = states.filter(({ state }) => state === 'held').length;
    const heldBytes = states.reduce((sum, state) => sum + state.heldBytes, 0);
    const { code, message } = this.failure ?? {};
    return { heldBlobs, heldBytes, ...(this.failure === undefined ? {} : { code, message }) };
  }
}
