/**
 * What a peer says harms its own connection at most. Webtorrent's protocol breaks over some messages, and with it the thread and all
 * torrents; and it believes what a peer says of the length of its next message, up to two gigabytes, and keeps what comes of it.
 */
import Wire from 'bittorrent-protocol';
import { asError } from '../oci/error.ts';

/** A block with its head takes 128 KiB at most, and so does the bit field of a torrent of a million pieces. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/** Has connections end by themselves. To be called once in a thread, before the first one. */
export function containFaults(onFault: (error: Error) => void): void {
  const { _onMessageLength: readLength, _onMessage: readMessage, _onHandshakeBuffer: readHello } = Wire.prototype;

  function guarded(read: (this: Wire, bytes: Uint8Array) => void): typeof read {
    return function (bytes) {
      try {
        read.call(this, bytes);
      } catch (error) {
        onFault(asError(error));
        this.destroy();
      }
    };
  }

  Wire.prototype._onMessage = guarded(readMessage);
  Wire.prototype._onHandshakeBuffer = guarded(readHello);
  Wire.prototype._onMessageLength = guarded(function (head) {
    const lengthBytes = new DataView(head.buffer, head.byteOffset).getUint32(0);
    // A web seed, which is asked for whole pieces, is none of the network.
    if (this.type.startsWith('tcp') && lengthBytes > MAX_MESSAGE_BYTES)
      throw new RangeError(`a peer announced a message of ${lengthBytes} bytes`);
    readLength.call(this, head);
  });
}
