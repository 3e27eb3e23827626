/**
 * How many peers of one blob a node deals with. A home would otherwise have a channel with every node of the swarm: its link would
 * go to telling all of them of every piece, instead of to pieces. Pure.
 */

/** A home with so many times the holders that a journey looks for names others, and not itself. */
const CROWDED_FACTOR = 2;
/** With so many times as many, nobody takes further channels. */
const FULL_FACTOR = 3;

/** Who looks again may have so many times as many: about what those have who came early, and were found by others. */
const FURTHER_FACTOR = 1.75;

/**
 * With how many a node deals by its own search. At first with those it looks for; who is found by few others, because it
 * came late, has half the neighbours of the others so, and half their share of the links: it finds more when it looks again.
 */
export function soughtHolders(searchCount: number, maxHolders: number): number {
  return searchCount <= 1 ? maxHolders : Math.floor(FURTHER_FACTOR * maxHolders);
}

/** A home is not to be named to those who ask, if there is somebody else to name. */
export function isCrowded(channelCount: number, maxHolders: number): boolean {
  return channelCount >= CROWDED_FACTOR * maxHolders;
}

/** No further peer takes part here. */
export function isFull(channelCount: number, maxHolders: number): boolean {
  return channelCount >= FULL_FACTOR * maxHolders;
}
