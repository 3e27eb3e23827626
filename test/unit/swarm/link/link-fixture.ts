/** Link networks over loopback, each with an identity of its own and a handler that writes down what comes. */
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { generateIdentity, verifyPeerSignature, type Identity } from '../../../../src/swarm/identity.ts';
import type { SocketAddress } from '../../../../src/swarm/member.ts';
import { LinkNetwork, type LinkNetworkConfig } from '../../../../src/swarm/link/link-network.ts';
import type { LinkMessage } from '../../../../src/swarm/link/link-message.ts';
import type { Link, LinkHandler } from '../../../../src/swarm/link/link.ts';

export const LINK_CONFIG: LinkNetworkConfig = {
  listen: { host: '127.0.0.1', port: 0 },
  maxLinks: 16,
  maxPendingHandshakes: 8,
  connectTimeoutMs: 2000,
  idleTimeoutMs: 60_000,
  silenceTimeoutMs: 15_000,
};

export const SILENT_LOG = pino({ level: 'silent' });

/** Writes down what comes over links; questions are answered by `answer`. */
export class RecordingHandler implements LinkHandler {
  readonly frames: { type: number; payload: Buffer }[] = [];
  readonly chunks: { channel: number; piece: number; offset: number; bytes: Buffer }[] = [];
  readonly closed: Link[] = [];
  drainCount = 0;
  answer: (method: string, message: LinkMessage) => Promise<{ value: unknown; bytes?: Uint8Array }> = async (
    method,
    message,
  ) => await Promise.resolve({ value: { method, given: message.value }, bytes: message.bytes });
  onFrame: (type: number) => void = () => undefined;

  async onRequest(_link: Link, method: string, message: LinkMessage): Promise<{ value: unknown; bytes?: Uint8Array }> {
    return await this.answer(method, message);
  }
  onChannelFrame(_link: Link, type: number, payload: Buffer): void {
    this.onFrame(type);
    this.frames.push({ type, payload });
  }
  onChunk(_link: Link, channel: number, piece: number, offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    this.chunks.push({ channel, piece, offset, bytes });
    return bytes;
  }
  onChunkEnd(): void {
    // What came is in `chunks` already.
  }
  onDrain(): void {
    this.drainCount += 1;
  }
  onClose(link: Link): void {
    this.closed.push(link);
  }
}

/** One end: a network, its handler, its identity. */
export interface LinkEnd {
  readonly identity: Identity;
  readonly network: LinkNetwork;
  readonly handler: RecordingHandler;
  readonly address: SocketAddress;
  readonly banned: Set<string>;
}

/** Opens a network, which is closed after the test. */
export async function openEnd(
  options: {
    memberKey?: Buffer | undefined;
    identity?: Identity;
    config?: Partial<LinkNetworkConfig>;
    clock?: { nowMs(): number };
  } = {},
): Promise<LinkEnd> {
  const identity = options.identity ?? generateIdentity();
  const handler = new RecordingHandler();
  const banned = new Set<string>();
  const network = await LinkNetwork.open(
    {
      handshake: { identity, verify: verifyPeerSignature, memberKey: options.memberKey },
      handler,
      log: SILENT_LOG,
      clock: options.clock ?? { nowMs: () => performance.now() },
      isBanned: (peerId) => banned.has(peerId),
    },
    { ...LINK_CONFIG, ...options.config },
  );
  onTestFinished(async () => await network.close());
  return { identity, network, handler, banned, address: { host: '127.0.0.1', port: network.port } };
}

/** Two ends and the link between them, seen from both. */
export async function openPair(
  config: Partial<LinkNetworkConfig> = {},
  clock?: { nowMs(): number },
): Promise<{ a: LinkEnd; b: LinkEnd; toB: Link; toA: Link }> {
  const options = clock === undefined ? { config } : { config, clock };
  const [a, b] = [await openEnd(options), await openEnd(options)];
  const toB = await a.network.connect({ peerId: b.identity.peerId, addresses: [b.address] });
  return { a, b, toB, toA: await linkTo(b, a) };
}

/** The link of `end` to `peer`, once the other side's hello has come. */
export async function linkTo(end: LinkEnd, peer: LinkEnd): Promise<Link> {
  const deadlineMs = performance.now() + 3000;
  for (;;) {
    const link = end.network.get(peer.identity.peerId);
    if (link !== undefined) return link;
    if (performance.now() > deadlineMs) throw new Error('the link did not come');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
