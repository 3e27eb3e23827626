/**
 * The choice of the piece to ask for next, in place of webtorrent's own. That one looks at every piece of the torrent for each
 * choice, also at those that are held, and then tries one after the other: near the end of a GiB it took longer to choose than
 * all the rest. This one looks at what is missing alone, and passes over what has been asked for to the last block.
 */

/** A piece that is being gathered, as torrent-piece has it. */
interface GatheredPiece {
  readonly _flushed: boolean;
  readonly _chunks: number;
  readonly _reservations: number;
  readonly _cancellations: readonly number[] | null;
}

/** What webtorrent keeps of a torrent that it downloads. */
export interface ChoosingTorrent {
  readonly bitfield: { get(index: number): boolean };
  readonly pieces: readonly (GatheredPiece | null)[];
  readonly wires: { readonly length: number };
  readonly _rarityMap: RarityMap | null;
}

/** How many peers have each piece, and the choice that is replaced. */
interface RarityMap {
  /** `null` when the torrent has ended. */
  readonly _pieces: readonly number[] | null;
  getRarestPiece(isWanted?: (index: number) => boolean): number;
}

/**
 * Replaces the choice of one torrent.
 * @param random a number from 0 to, and not including, 1: of several that are as rare, each peer is to get another
 */
export function chooseAmongMissing(torrent: ChoosingTorrent, random: () => number): void {
  const map = torrent._rarityMap;
  if (map === null) return;
  const missing = Array.from(torrent.pieces, (_, index) => index);
  map.getRarestPiece = (isWanted = () => true) => {
    const counts = map._pieces;
    if (counts === null) return -1;
    let [rarest, count, alike] = [-1, Infinity, 0];
    for (let at = missing.length - 1; at >= 0; at -= 1) {
      const index = missing[at] ?? -1;
      if (torrent.bitfield.get(index)) {
        missing[at] = missing.at(-1) ?? -1;
        missing.pop();
        continue;
      }
      const own = counts[index] ?? Infinity;
      if (own > count || !isOfUse(torrent, index) || !isWanted(index)) continue;
      alike = own < count ? 1 : alike + 1;
      count = own;
      if (random() * alike < 1) rarest = index;
    }
    return rarest;
  };
}

/** What has been asked for of one peer to the last block is of use again only when another peer could be faster. */
function isOfUse({ pieces, wires }: ChoosingTorrent, index: number): boolean {
  const piece = pieces[index];
  if (piece === undefined || piece === null || piece._flushed) return false;
  if (wires.length > 1) return true;
  return piece._reservations < piece._chunks || (piece._cancellations?.length ?? 0) > 0;
}
