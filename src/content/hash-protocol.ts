/** What the main thread and the hash worker say to each other. */
import type { DigestAlgorithm } from '../oci/digest.ts';
import type { PieceHashBatch } from './piece-hash-queue.ts';

/** A piece of work. `id` is chosen by the asker and comes back with the answer. */
export type HashRequest =
  /** Hash the whole file. Answer: `digest`. */
  | { readonly kind: 'whole'; readonly id: number; readonly path: string; readonly algorithm: DigestAlgorithm }
  /** Hash each piece of the file. Answer: `pieces`. */
  | {
      readonly kind: 'pieces';
      readonly id: number;
      readonly path: string;
      readonly sizeBytes: number;
      readonly pieceSizeBytes: number;
    }
  /** Find which pieces of `path` are as `body`, the body of the map, says. Answer: `held`. */
  | {
      readonly kind: 'recover';
      readonly id: number;
      readonly path: string;
      readonly sizeBytes: number;
      readonly pieceSizeBytes: number;
      readonly body: Uint8Array;
    }
  /** Hash bytes in shared memory, before all other work. Answer: `pieces`. */
  | ({ readonly kind: 'bytes'; readonly id: number } & PieceHashBatch)
  /** List all complete blobs under a folder. Answer: `scan`. */
  | { readonly kind: 'scan'; readonly id: number; readonly path: string }
  /** Begin a running hash over a file that grows from its beginning. No answer. */
  | { readonly kind: 'begin'; readonly id: number; readonly path: string; readonly algorithm: DigestAlgorithm }
  /** The file is right up to `end` now. No answer. */
  | { readonly kind: 'advance'; readonly id: number; readonly end: number }
  /** The file is right up to `end`, which is all. Answer: `digest`. */
  | { readonly kind: 'finish'; readonly id: number; readonly end: number }
  /** Give the work up. No answer, though one may be on its way. */
  | { readonly kind: 'cancel'; readonly id: number };

/** A complete blob file that a scan found. */
export interface ScannedBlob {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly mode: number;
}

/** An answer of the worker. */
export type HashReply =
  | { readonly kind: 'digest'; readonly id: number; readonly digest: string; readonly hashedBytes: number }
  | { readonly kind: 'pieces'; readonly id: number; readonly hashes: Uint8Array }
  | { readonly kind: 'held'; readonly id: number; readonly bits: Uint8Array }
  | { readonly kind: 'scan'; readonly id: number; readonly blobs: readonly ScannedBlob[] }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string; readonly code: string | undefined };
