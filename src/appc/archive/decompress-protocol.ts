/** What the thread that decompresses and the one that asks it to say to each other. One question is open at a time. */

/** What the thread is started with. */
export interface DecompressTask {
  readonly format: 'bzip2' | 'xz';
}

/** From the thread. It waits for the answer each time, so no more than one chunk is on its way. */
export type DecompressCall =
  | { readonly kind: 'need' }
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly reason: string };

/** To the thread: compressed bytes, `undefined` at their end; or that the last chunk was used. */
export type DecompressAnswer =
  { readonly kind: 'bytes'; readonly bytes: Uint8Array | undefined } | { readonly kind: 'more' };
