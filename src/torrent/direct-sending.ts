/**
 * The way of bytes to a peer, in place of webtorrent's own. That one leads through four streams, each block in two chunks, and
 * ends in one system call for every few of them; and because it may keep what it is given for as long as it likes, windows
 * could not be used again. This one writes to the socket, all that one turn of the loop brings together in one call, and knows
 * when it has gone.
 */
import type { Socket } from 'node:net';
import type { Peer } from 'webtorrent';
import type { WindowCache } from './window-cache.ts';

/** What may lie pinned before one peer; beyond it bytes are copied, so that one who reads slowly leaves windows to others. */
const MAX_PINNED_BYTES = 4 * 1024 * 1024;

/**
 * Takes over what is sent to a peer. Where it does not, webtorrent's way is given copies of what lies in windows.
 * @param isLimited true when uploads have a limit, which webtorrent's way keeps
 */
export function sendFromWindows(peer: Peer, windows: WindowCache, isLimited: () => boolean): void {
  const { wire, conn } = peer;
  if (wire === null || conn === null || 'httpRequest' in conn || !wire.type.startsWith('tcp')) return;
  const sendByStreams = wire.push.bind(wire);
  let isDirect = false;
  wire.push = (bytes) => {
    // There is no way back: what the streams still hold would be overtaken.
    if (isDirect && isLimited()) isDirect = false;
    if (bytes === null) return sendByStreams(null);
    if (isDirect) return send(peer, conn, bytes, windows);
    return sendByStreams(windows.owns(bytes) ? Buffer.from(bytes) : bytes);
  };
  // The streams pass things on in microtasks, so that between two turns of the loop they hold nothing, but for a full socket.
  setImmediate(() => {
    isDirect = !isLimited() && wire._readableState.buffered === 0 && !conn.writableNeedDrain;
    // The end of an answer would wait until the peer has acknowledged what came before it.
    if (isDirect) conn.setNoDelay(true);
  });
}

function send(peer: Peer, conn: Socket, bytes: Uint8Array, windows: WindowCache): boolean {
  if (!conn.writable) return false;
  if (conn.writableCorked === 0) {
    conn.cork();
    process.nextTick(() => conn.uncork());
  }
  peer.emit('upload', bytes.length);
  const window = conn.writableLength < MAX_PINNED_BYTES ? windows.pin(bytes) : undefined;
  if (window === undefined) return conn.write(windows.owns(bytes) ? Buffer.from(bytes) : bytes);
  return conn.write(bytes, () => windows.unpin(window));
}
