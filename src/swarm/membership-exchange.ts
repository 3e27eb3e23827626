/**
 * Exchanges between two members: both ends of probes, of probes on behalf of others, and of comparisons of tables. Every
 * exchange carries news both ways.
 */
import type { Stream } from '@libp2p/interface';
import type { Logger } from 'pino';
import { asError } from '../oci/error.ts';
import { TimeLimit } from '../oci/time-limit.ts';
import { swarmError } from './errors.ts';
import type { PeerId, SocketAddress } from './member.ts';
import { differingBuckets } from './members-fingerprint.ts';
import type { MemberUpdate } from './members-update.ts';
import type { MembershipConfig } from './membership-config.ts';
import { MAX_PAGE_UPDATES, MEMBERS_PROTOCOL, type MembersMessage } from './membership-messages.ts';
import type { MembershipState } from './membership-state.ts';
import { MembersStream } from './membership-stream.ts';

/** Someone who can be dialled. */
export interface ExchangeTarget {
  readonly peerId: PeerId;
  readonly addresses: readonly SocketAddress[];
}

/** Where a member of the table can be dialled. */
export function targetOf(update: MemberUpdate): ExchangeTarget {
  return { peerId: update.signed.member.peerId, addresses: update.signed.record.swarmAddresses };
}

/** What exchanges need of a libp2p host. */
export interface StreamOpener {
  openStream(target: ExchangeTarget, protocol: string, options: { signal: AbortSignal }): Promise<Stream>;
}

export interface MembersExchangeDeps {
  readonly state: MembershipState;
  readonly host: StreamOpener;
  readonly log: Logger;
  /** Called after statements from a peer were taken in. */
  readonly onHeard: (peerId: PeerId, changes: number) => void;
}

export class MembersExchange {
  readonly #deps: MembersExchangeDeps;
  readonly #config: MembershipConfig;

  constructor(deps: MembersExchangeDeps, config: MembershipConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Ends well when the member answered. @throws what went wrong; the signal's reason */
  async probe(target: ExchangeTarget, options: { signal: AbortSignal }): Promise<void> {
    await this.#converse(target, options.signal, async (stream) => {
      await stream.write({ kind: 'probe', updates: this.#newsFor(target.peerId) });
      this.#take(target.peerId, await expectKind(stream, 'answer'));
    });
  }

  /** Asks `helper` to probe `target`; true when it got an answer. @throws as `probe` */
  async probeThrough(helper: ExchangeTarget, target: PeerId, options: { signal: AbortSignal }): Promise<boolean> {
    return await this.#converse(helper, options.signal, async (stream) => {
      await stream.write({ kind: 'probe-for', target, updates: this.#newsFor(helper.peerId) });
      const answer = await expectKind(stream, 'answer');
      this.#take(helper.peerId, answer);
      return answer.reached;
    });
  }

  /** Makes both tables agree; returns how many rows changed here. @throws as `probe` */
  async sync(target: ExchangeTarget, options: { signal: AbortSignal }): Promise<number> {
    return await this.#converse(target, options.signal, async (stream) => {
      const { state } = this.#deps;
      await stream.write({
        kind: 'sync',
        fingerprints: state.table.fingerprints(),
        updates: this.#newsFor(target.peerId),
      });
      const { buckets, changes } = await this.#readPages(stream, target.peerId);
      await this.#writePages(stream, state.table.inBuckets(buckets), buckets);
      return changes;
    });
  }

  /** Serves one exchange that a peer began. Failures end the stream and are logged. */
  async serve(stream: Stream, peerId: PeerId, options: { signal: AbortSignal }): Promise<void> {
    const timeoutMs = Math.max(this.#config.syncTimeoutMs, 2 * this.#config.probeTimeoutMs);
    using limit = new TimeLimit(timeoutMs, options.signal);
    const members = new MembersStream(stream, limit.signal);
    try {
      const message = await members.read();
      this.#take(peerId, message);
      await this.#answer(members, message, peerId, options.signal);
      await members.close();
    } catch (error) {
      members.abort(asError(error));
      this.#deps.log.debug({ peer: peerId, err: error }, 'membership exchange from a peer failed');
    }
  }

  async #answer(stream: MembersStream, message: MembersMessage, peerId: PeerId, signal: AbortSignal): Promise<void> {
    switch (message.kind) {
      case 'probe':
        await stream.write({ kind: 'answer', reached: true, updates: this.#newsFor(peerId) });
        return;
      case 'probe-for':
        await stream.write({
          kind: 'answer',
          reached: await this.#probeFor(message.target, signal),
          updates: this.#newsFor(peerId),
        });
        return;
      case 'sync': {
        const { table } = this.#deps.state;
        const buckets = differingBuckets(table.fingerprints(), message.fingerprints);
        await this.#writePages(stream, [...this.#newsFor(peerId), ...table.inBuckets(buckets)], buckets);
        await this.#readPages(stream, peerId);
        return;
      }
      case 'answer':
      case 'page':
        throw swarmError('ERR_MEMBERS_PROTOCOL', `a peer began an exchange with '${message.kind}'`);
    }
  }

  async #probeFor(peerId: PeerId, signal: AbortSignal): Promise<boolean> {
    const entry = this.#deps.state.table.get(peerId);
    if (entry === undefined) return false;
    using limit = new TimeLimit(this.#config.probeTimeoutMs, signal);
    const target = { peerId, addresses: entry.signed.record.swarmAddresses };
    return await this.probe(target, { signal: limit.signal }).then(
      () => true,
      (error: unknown) => {
        this.#deps.log.debug({ peer: peerId, err: error }, 'probe on behalf of another failed');
        return false;
      },
    );
  }

  async #converse<T>(
    target: ExchangeTarget,
    signal: AbortSignal,
    talk: (stream: MembersStream) => Promise<T>,
  ): Promise<T> {
    const stream = new MembersStream(await this.#deps.host.openStream(target, MEMBERS_PROTOCOL, { signal }), signal);
    try {
      const result = await talk(stream);
      await stream.close();
      return result;
    } catch (error) {
      stream.abort(asError(error));
      throw error;
    }
  }

  async #writePages(
    stream: MembersStream,
    updates: readonly MemberUpdate[],
    buckets: ReadonlySet<number>,
  ): Promise<void> {
    let start = 0;
    do {
      const page = updates.slice(start, start + MAX_PAGE_UPDATES);
      start += MAX_PAGE_UPDATES;
      await stream.write({ kind: 'page', last: start >= updates.length, buckets, updates: page });
    } while (start < updates.length);
  }

  async #readPages(stream: MembersStream, peerId: PeerId): Promise<{ buckets: ReadonlySet<number>; changes: number }> {
    let changes = 0;
    for (;;) {
      const page = await expectKind(stream, 'page');
      changes += this.#take(peerId, page);
      if (page.last) return { buckets: page.buckets, changes };
    }
  }

  #take(peerId: PeerId, message: MembersMessage): number {
    const changes = this.#deps.state.take(message.updates);
    this.#deps.onHeard(peerId, changes);
    return changes;
  }

  #newsFor(peerId: PeerId): MemberUpdate[] {
    const { state } = this.#deps;
    return [
      state.selfUpdate(),
      ...state.illNewsOf(peerId),
      ...state.table.takeRumours(this.#config.maxRumoursPerMessage),
    ];
  }
}

async function expectKind<K extends MembersMessage['kind']>(
  stream: MembersStream,
  kind: K,
): Promise<Extract<MembersMessage, { kind: K }>> {
  const message = await stream.read();
  if (message.kind === kind) return message as Extract<MembersMessage, { kind: K }>;
  throw swarmError('ERR_MEMBERS_PROTOCOL', `a peer answered with '${message.kind}' instead of '${kind}'`);
}
