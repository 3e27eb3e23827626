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
  readonly #maxBytes: number;
  readonly #owners = new WeakMap<ArrayBufferLike, number>();
  readonly #free = new Map<number, Buffer[]>();
  /** Memory that nobody released is found by the collector. */
  readonly #collected = new FinalizationRegistry<number>((size) => (this.#bytes -= size));
  #bytes = 0;
  #freeBytes = 0;

  /** @param maxBytes shared memory in all, used and free; what is needed beyond it comes and goes in the ordinary way */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Memory kept for later use. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** A buffer of exactly `length` bytes with unknown content, owned by the caller. */
  acquire(length: number): Buffer {
    if (length < MIN_POOLED_BYTES || length > MAX_POOLED_BYTES) return Buffer.allocUnsafeSlow(length);
    const size = pooledSize(length);
    const buffer = this.#reuse(size) ?? this.#allocate(size);
    if (buffer === undefined) return Buffer.allocUnsafeSlow(length);
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
    if (owners > 1) return;
    const size = bytes.buffer.byteLength;
    this.#freeBytes += size;
    const free = this.#free.get(size);
    const whole = Buffer.from(bytes.buffer);
    if (free === undefined) this.#free.set(size, [whole]);
    else free.push(whole);
  }

  #reuse(size: number): Buffer | undefined {
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) this.#freeBytes -= size;
    return reused;
  }

  #allocate(size: number): Buffer | undefined {
    if (this.#bytes + size > this.#maxBytes) {
      // Whatever is free is of other sizes: it is left to the collector, and makes room by and by.
      this.#free.clear();
      this.#freeBytes = 0;
      return undefined;
    }
    const memory = new SharedArrayBuffer(size);
    this.#bytes += size;
    this.#collected.register(memory, size);
    return Buffer.from(memory);
  }
}

/** The next power of two: few sizes, so that what is free fits what is needed. */
function pooledSize(length: number): number {
  let size = MIN_POOLED_BYTES;
  while (size < length) size *= 2;
  return size;
}
