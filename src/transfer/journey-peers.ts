/** Questions about the peers of one blob, answered from the state of their channels. */
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import { soughtHolders } from './crowding.ts';
import type { Exchange } from './exchange.ts';
import { HolderHunt } from './holder-hunt.ts';
import type { FoundHolder } from './holder-search.ts';
import type { JourneyDeps, JourneyPurpose } from './journey-types.ts';

/**
 * Peers from whom something may come: they have pieces, or read the origin, or have not said yet. A home that is far has no
 * channel with this node, and its pieces come through others.
 */
export function hopefulCount(exchange: Exchange, home: PeerId | undefined, isHomeFar: boolean): number {
  const channels = [...exchange.channels.values()];
  const hopeful = channels.filter(
    ({ remoteHasAny, isJoined, link }) => remoteHasAny || !isJoined || link.peerId === home,
  );
  return hopeful.length + (isHomeFar ? 1 : 0);
}

/** Some peer takes part and still lacks pieces. */
export function isServing(exchange: Exchange): boolean {
  return [...exchange.channels.values()].some((channel) => channel.isJoined && !channel.remoteComplete);
}

/** There is room for another holder, and this one takes no part yet. */
function hasRoomFor(exchange: Exchange, holder: FoundHolder, diallingCount: number, maxHolders: number): boolean {
  const links = [...exchange.channels.keys()];
  return links.length + diallingCount < maxHolders && !links.some((link) => link.peerId === holder.peerId);
}

/** A peer that something is expected of is asked for a sign of life after this share of the time for a stall. */
const PING_SHARE = 0.15;
/** One that gives none for this share is gone: less than a stall, since a peer that is merely slow answers a ping. */
const SILENCE_SHARE = 0.6;

/** Peers that do not answer: those that never joined, and those that owe pieces, or are home, and have fallen silent. */
export function silentChannels(
  exchange: Exchange,
  home: PeerId | undefined,
  nowMs: number,
  config: { stallTimeoutMs: number; askTimeoutMs: number },
): Channel[] {
  return [...exchange.channels.values()].filter((channel) => {
    if (!channel.isJoined && nowMs - channel.openedAtMs > config.askTimeoutMs) return true;
    if (channel.link.peerId !== home && !channel.owes) return false;
    const silentMs = nowMs - Math.max(channel.link.lastHeardAtMs, channel.openedAtMs);
    if (silentMs > config.stallTimeoutMs * PING_SHARE) channel.link.ping();
    return silentMs > config.stallTimeoutMs * SILENCE_SHARE;
  });
}

/** What the journey supplies for the search of holders. */
export interface HuntHooks {
  readonly signal: AbortSignal;
  readonly exchange: Exchange;
  /** This node reads the origin now. */
  readonly isReading: () => boolean;
  readonly onSize: (sizeBytes: number) => void;
  readonly onChange: () => void;
}

/** Makes the search for holders of one journey. */
export function createHolderHunt(
  deps: JourneyDeps,
  purpose: JourneyPurpose,
  config: { maxHolders: number },
  hooks: HuntHooks,
): HolderHunt {
  const { peers, search, clock, log } = deps;
  const { digest, repository } = purpose;
  const { exchange, isReading } = hooks;
  return new HolderHunt({
    ...hooks,
    peers,
    search,
    log,
    nowMs: () => clock.nowMs(),
    question: () => ({ digest, repository, sizeBytes: exchange.geometry?.sizeBytes, isReading: isReading() }),
    wants: (holder, { diallingCount, searchCount }) =>
      hasRoomFor(exchange, holder, diallingCount, soughtHolders(searchCount, config.maxHolders)),
    onLink: (link) => exchange.join(link),
  });
}
