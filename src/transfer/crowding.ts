/**
 * How many peers of one blob a node deals with. A home would otherwise have a channel with every node of the swarm: its link would
 * go to telling all of them of every piece, instead of to pieces. Pure.
 */

/** A home with so many times the holders that a journey looks for names others, and not itself. */
const CROWDED_FACTOR = 2;
/** With so many times as many, nobody takes further channels. */
const FULL_FACTOR = 3;

/** A home is not to be named to those who ask, if there is somebody else to name. */
export function isCrowded(channelCount: number, maxHolders: number): boolean {
  return channelCount >= CROWDED_FACTOR * maxHolders;
}

/** No further peer takes part here. */
export function isFull(channelCount: number, maxHolders: number): boolean {
  return channelCount >= FULL_FACTOR * maxHolders;
}
