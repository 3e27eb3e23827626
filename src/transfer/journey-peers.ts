/** Questions about the peers of one blob, answered from the state of their channels. */
import type { PeerId } from '../swarm/member.ts';
import type { Channel } from './channel.ts';
import type { Exchange } from './exchange.ts';
import type { FoundHolder } from './holder-search.ts';

/** Peers from whom something may come: they have pieces, or read the origin, or have not said yet. */
export function hopefulCount(exchange: Exchange, home: PeerId | undefined): number {
  const channels = [...exchange.channels.values()];
  return channels.filter((channel) => channel.remoteHasAny || !channel.isJoined || channel.link.peerId === home).length;
}

/** Some peer takes part and still lacks pieces. */
export function isServing(exchange: Exchange): boolean {
  return [...exchange.channels.values()].some((channel) => channel.isJoined && !channel.remoteComplete);
}

/** There is room for another holder, and this one takes no part yet. */
export function hasRoomFor(
  exchange: Exchange,
  holder: FoundHolder,
  diallingCount: number,
  maxHolders: number,
): boolean {
  const links = [...exchange.channels.keys()];
  return links.length + diallingCount < maxHolders && !links.some((link) => link.peerId === holder.peerId);
}

/**
 * Peers that do not answer: those that never joined, and a home that has fallen silent. A home that is quiet for a quarter
 * of the time is asked for a sign of life.
 */
export function silentChannels(
  exchange: Exchange,
  home: PeerId | undefined,
  nowMs: number,
  config: { stallTimeoutMs: number; askTimeoutMs: number },
): Channel[] {
  return [...exchange.channels.values()].filter((channel) => {
    if (!channel.isJoined && nowMs - channel.openedAtMs > config.askTimeoutMs) return true;
    if (channel.link.peerId !== home) return false;
    const silentMs = nowMs - Math.max(channel.link.lastHeardAtMs, channel.openedAtMs);
    if (silentMs > config.stallTimeoutMs / 4) channel.link.ping();
    return silentMs > config.stallTimeoutMs;
  });
}
