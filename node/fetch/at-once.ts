/** Work on many things, some of them at a time. */

/**
 * Runs `work` for each item, at most `limit` at once, in order of their beginning. The first failure ends the others by their
 * signal; all have ended when this rejects.
 */
export async function eachAtOnce<Item>(
  items: readonly Item[],
  limit: number,
  work: (item: Item, options: { signal: AbortSignal }) => Promise<void>,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const failing = new AbortController();
  const signal = options.signal === undefined ? failing.signal : AbortSignal.any([options.signal, failing.signal]);
  const waiting = items.values();
  const errors: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const item of waiting) {
      if (signal.aborted) return;
      try {
        await work(item, { signal });
      } catch (error) {
        errors.push(error);
        failing.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  options.signal?.throwIfAborted();
  if (errors.length > 0) throw errors[0];
}
