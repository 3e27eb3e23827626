/** What a run shows, counted while it goes on. */

/** Samples of progress in the time that one node alone would take. */
const SAMPLES_PER_BOUND = 100;

export class Measurements {
  readonly #nowMs: () => number;
  readonly #sampleMs: number;
  /** When a node's client asked, and when it had everything; NaN before. */
  readonly askedAtMs: Float64Array;
  readonly doneAtMs: Float64Array;
  readonly #progressAtMs: Float64Array;
  /** The longest time between two pieces of a node, its first wait included. */
  readonly silenceMs: Float64Array;
  readonly messages: Float64Array;
  readonly peerBytes: Float64Array;
  /** Bytes that came twice, or after they were taken back. */
  readonly wastedBytes: Float64Array;
  /** Bytes kept by all nodes in each sample of time. */
  readonly keptBytes: number[] = [];
  originBytes = 0;
  originRequests = 0;

  constructor(nodeCount: number, boundMs: number, nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#sampleMs = boundMs / SAMPLES_PER_BOUND;
    const zeros = (): Float64Array => new Float64Array(nodeCount);
    this.askedAtMs = zeros().fill(NaN);
    this.doneAtMs = zeros().fill(NaN);
    this.#progressAtMs = zeros();
    this.silenceMs = zeros();
    this.messages = zeros();
    this.peerBytes = zeros();
    this.wastedBytes = zeros();
  }

  /** Duration of one entry of `keptBytes`. */
  get sampleMs(): number {
    return this.#sampleMs;
  }

  onAsked(node: number): void {
    this.askedAtMs[node] = this.#nowMs();
    this.#progressAtMs[node] = this.#nowMs();
  }

  onDone(node: number): void {
    this.doneAtMs[node] = this.#nowMs();
  }

  onMessages(node: number, count: number): void {
    this.messages[node] = (this.messages[node] ?? 0) + count;
  }

  onPeerBytes(node: number, bytes: number): void {
    this.peerBytes[node] = (this.peerBytes[node] ?? 0) + bytes;
  }

  onWasted(node: number, bytes: number): void {
    this.wastedBytes[node] = (this.wastedBytes[node] ?? 0) + bytes;
  }

  /** A node has a piece that it did not have. */
  onKept(node: number, bytes: number): void {
    const nowMs = this.#nowMs();
    const gapMs = nowMs - (this.#progressAtMs[node] ?? 0);
    if (gapMs > (this.silenceMs[node] ?? 0)) this.silenceMs[node] = gapMs;
    this.#progressAtMs[node] = nowMs;
    const sample = Math.floor(nowMs / this.#sampleMs);
    while (this.keptBytes.length <= sample) this.keptBytes.push(0);
    this.keptBytes[sample] = (this.keptBytes[sample] ?? 0) + bytes;
  }
}
