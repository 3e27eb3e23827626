/**
 * Memory for pieces and chunks, used again instead of left to the garbage collector. Without it a node that moves a gigabyte
 * allocates several: every buffer of this size is fresh pages that the system must clear, and the collector, which sees
 * megabytes come and go, marks the whole heap again and again (a quarter of the processor time of a relaying node).
 *
 * Buffers are counted. Whoever gets one from `acquire` or from a reading that says so owns it and may `release` it, once;
 * `retain` adds an owner. Who does not release does no harm: the buffer then goes the ordinary way. A slice stands for the
 * buffer that it is a slice of. A buffer that was released must not be touched any more.
 *
 * Pooled memory is shared memory, so that a thread can hash a piece where it lies.
 */

/** Only such sizes are pooled; smaller ones are cheap, larger ones rare. */
const MIN_POOLED_BYTES = 32 * 1024;
const MAX_POOLED_BYTES = 4 * 1024 * 1024;

export class BufferPool {
  readonly #maxFreeBytes: number;
  readonly #owners = new WeakMap<ArrayBufferLike, number>();
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;

  /** @param maxFreeBytes memory kept for later use, at most */
  constructor(maxFreeBytes: number) {
    this.#maxFreeBytes = maxFreeBytes;
  }

  /** Memory kept for later use. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** A buffer of exactly `length` bytes with unknown content, owned by the caller. */
  acquire(length: number): Buffer {
    if (length < MIN_POOLED_BYTES || length > MAX_POOLED_BYTES) return Buffer.allocUnsafeSlow(length);
    const size = pooledSize(length);
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) this.#freeBytes -= size;
    const buffer = reused ?? Buffer.from(new SharedArrayBuffer(size));
    this.#owners.set(buffer.buffer, 1);
    return length === size ? buffer : buffer.subarray(0, length);
  }

  /** Adds an owner. Buffers that are not of this pool are passed over. */
  retain(bytes: Uint8Array): void {
    const owners = this.#owners.get(bytes.buffer);
    if (owners !== undefined && owners > 0) this.#owners.set(bytes.buffer, owners + 1);
  }

  /** Takes an owner away; with the last one the memory is free. Buffers that are not of this pool are passed over. */
  release(bytes: Uint8Array): void {
    const owners = this.#owners.get(bytes.buffer) ?? 0;
    if (owners === 0) return;
    this.#owners.set(bytes.buffer, owners - 1);
    const size = bytes.buffer.byteLength;
    if (owners > 1 || this.#freeBytes + size > this.#maxFreeBytes) return;
    this.#freeBytes += size;
    const free = this.#free.get(size);
    const whole = Buffer.from(bytes.buffer);
    if (free === undefined) this.#free.set(size, [whole]);
    else free.push(whole);
  }
}

/** The next power of two: few sizes, so that what is free fits what is needed. */
function pooledSize(length: number): number {
  let size = MIN_POOLED_BYTES;
  while (size < length) size *= 2;
  return size;
}
