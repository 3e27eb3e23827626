/** The blobs that the process to be killed, and the one that checks what it left, both know by number. */
import { MIN_PIECE_SIZE_BYTES } from '../../src/content/geometry.ts';

/** The first three are small and put at once; the others are gathered from 5 to 30 pieces. */
export function killBlobSize(number: number): number {
  return number < 3 ? 1000 + number : MIN_PIECE_SIZE_BYTES * (5 + ((number * 7) % 25)) + number;
}

export function killBlobSeed(number: number): number {
  return 1000 + number;
}
