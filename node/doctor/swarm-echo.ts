/**
 * A test blob through two nodes: it goes to a peer over the data plane, with all its authentication and encryption, and
 * comes back the same way. What fails here fails for layers too.
 */
import type { ExchangeHub } from '../../src/transfer/exchange-hub.ts';
import type { Peers } from '../../src/transfer/peers.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { MemberDirectory } from '../../src/swarm/member.ts';
import { nodeError } from '../errors.ts';
import type { SwarmProbe, SwarmProbeResult } from '../admin/ports.ts';

/** Large enough to take several frames' worth of socket buffer, small enough for any link. */
const TEST_BLOB_BYTES = 1024 * 1024;

const METHOD = 'doctor-echo';
const TIMEOUT_MS = 5_000;

/** Collaborators of the probe. */
export interface SwarmEchoDeps {
  readonly hub: Pick<ExchangeHub, 'answer'>;
  readonly peers: Pick<Peers, 'ask'>;
  readonly members: MemberDirectory;
  readonly clock: { nowMs(): number };
  readonly randomBytes: (count: number) => Uint8Array;
  readonly random: () => number;
}

/** Sends a test blob to a random peer; answers test blobs of peers, from its making on. */
export class SwarmEcho implements SwarmProbe {
  readonly #deps: SwarmEchoDeps;

  constructor(deps: SwarmEchoDeps) {
    this.#deps = deps;
    deps.hub.answer(METHOD, (_from, message) => {
      const { bytes } = message;
      const isTestBlob = bytes.length <= TEST_BLOB_BYTES;
      const value = { atMs: deps.clock.nowMs() };
      return Promise.resolve(isTestBlob ? { value, bytes } : { value });
    });
  }

  async probe(options: { signal: AbortSignal }): Promise<SwarmProbeResult | undefined> {
    const { peers, members, clock, random, randomBytes } = this.#deps;
    const others = members.alive().filter((member) => member.peerId !== members.self.peerId);
    const peer = others[Math.floor(random() * others.length)];
    if (peer === undefined) return undefined;
    const bytes = randomBytes(TEST_BLOB_BYTES);
    const startedAtMs = clock.nowMs();
    const answer = await peers.ask(peer, METHOD, {}, { signal: options.signal, timeoutMs: TIMEOUT_MS, bytes });
    const durationMs = clock.nowMs() - startedAtMs;
    if (digestOf(answer.bytes) !== digestOf(bytes)) {
      throw nodeError('ERR_DOCTOR_ECHO', `the test blob did not come back from ${peer.peerId} as it was sent`);
    }
    return {
      peerId: peer.peerId,
      sizeBytes: bytes.length,
      durationMs,
      clockAheadMs: clockAhead(answer.value, startedAtMs, durationMs),
    };
  }
}

/** The peer's clock stood somewhere between question and answer; half-way is the best guess. */
function clockAhead(value: unknown, startedAtMs: number, durationMs: number): number | undefined {
  const atMs = typeof value === 'object' && value !== null && 'atMs' in value ? value.atMs : undefined;
  return typeof atMs === 'number' && Number.isFinite(atMs) ? atMs - (startedAtMs + durationMs / 2) : undefined;
}
