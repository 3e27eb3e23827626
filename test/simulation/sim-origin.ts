/** The origin: how fast it sends, all together and over one connection. */
export class SimOrigin {
  readonly #totalBytesPerMs: number;
  readonly #connectionBytesPerMs: number;
  #connections = 0;

  constructor(totalBytesPerSecond: number, connectionBytesPerSecond: number) {
    this.#totalBytesPerMs = totalBytesPerSecond / 1000;
    this.#connectionBytesPerMs = connectionBytesPerSecond / 1000;
  }

  open(): void {
    this.#connections += 1;
  }

  close(): void {
    this.#connections -= 1;
  }

  /** How long one connection takes for so many bytes, as things stand. */
  durationMs(bytes: number): number {
    return bytes / Math.min(this.#connectionBytesPerMs, this.#totalBytesPerMs / Math.max(1, this.#connections));
  }
}
