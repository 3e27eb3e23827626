/**
 * Peers whose pieces are false are left. Webtorrent throws a false piece away and asks for it again, of the same peer if need
 * be, for ever.
 */
import type { Torrent, Wire } from 'webtorrent';

/** So many false pieces that also others had a part in are forgiven: it may have been one of them. */
const FORGIVEN_SHARED = 2;

const FALSE_PIECE = /^Piece (\d+) failed verification$/;

/** Watches the peers of a torrent, from before the first one comes. */
export function leaveGiversOfFalsePieces(torrent: Torrent, onLeft: (address: string) => void): void {
  const givers = new Map<number, Set<Wire>>();
  const shares = new WeakMap<Wire, number>();
  /** Who was dialled can be known again. */
  const left = new Set<string>();
  torrent.on('wire', (wire: Wire, address: string | undefined) => {
    if (address !== undefined && left.has(address)) {
      wire.destroy();
      return;
    }
    wire.on('piece', (index: number) => {
      // What nobody asked for is nothing to remember.
      if (index >= torrent.pieces.length) return;
      const known = givers.get(index);
      if (known === undefined) givers.set(index, new Set([wire]));
      else known.add(wire);
    });
  });
  torrent.on('verified', (index: number) => givers.delete(index));
  torrent.on('warning', (warning: unknown) => {
    const [, text] = FALSE_PIECE.exec(warning instanceof Error ? warning.message : '') ?? [];
    if (text === undefined) return;
    const guilty = givers.get(Number(text)) ?? new Set();
    givers.delete(Number(text));
    for (const wire of guilty) {
      const shared = (shares.get(wire) ?? 0) + 1;
      shares.set(wire, shared);
      if (guilty.size > 1 && shared <= FORGIVEN_SHARED) continue;
      const address = `${wire.remoteAddress}:${wire.remotePort}`;
      if (wire.type === 'tcpOutgoing') left.add(address);
      wire.destroy();
      onLeft(address);
    }
  });
}
