/** Tells other seeds of the changes of this one. They ask, and may wait for the next; so nothing is kept here of who has heard what. */
import type { Changes } from '../catalog/change-log.ts';
import type { ChangesQuestion, PeerChanges } from './peer-seed.ts';

export class ChangeFeed {
  readonly #changes: Changes;
  /** Nobody waits any more. */
  readonly #ending = new AbortController();

  constructor({ changes }: { readonly changes: Changes }) {
    this.#changes = changes;
  }

  async answer(
    { after, chapter, limit, waitMs }: ChangesQuestion,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<PeerChanges> {
    const about = { log: this.#changes.id, chapter: this.#changes.place.chapter };
    // What was read is not what is here: it is to be read from the beginning.
    if (after > 0 && chapter !== '' && !this.#changes.knows({ chapter, number: after }))
      return { ...about, upTo: 0, changes: [] };
    const page = await this.#changes.list({ after, limit });
    // A number beyond all that were given is of another catalog, which the answer tells.
    if (page.changes.length > 0 || page.upTo < after || waitMs === 0) return { ...about, ...page };
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), waitMs).unref();
    await this.#changes.news(page.upTo, { signal: AbortSignal.any([signal, waiting.signal, this.#ending.signal]) });
    clearTimeout(timer);
    return { ...about, ...(await this.#changes.list({ after, limit })) };
  }

  /** Answers at once from now on, so that nobody holds up the end of the process. Idempotent. */
  endWaiting(): void {
    this.#ending.abort();
  }
}
