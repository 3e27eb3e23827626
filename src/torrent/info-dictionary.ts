/**
 * The info dictionary that peers give to those who have but a magnet link. Webtorrent reads it with a decoder that breaks over what is
 * no bencoding, after its hash was found right, which whoever made the link sees to; so it gets to see none of it. @see BEP 9
 */
import { createHash } from 'node:crypto';

/** What webtorrent has of a connection, as far as info dictionaries go. */
export interface InformingWire {
  readonly ut_metadata: {
    /** Called with all that a peer gave. True when it is what was asked for; else it is asked for again. */
    setMetadata(bytes: Uint8Array): Promise<boolean>;
  };
}

/** Has what a peer gives, when its hash is right, go to `onInfo` alone. */
export function takeInfo(wire: InformingWire, infoHash: string | undefined, onInfo: (info: Uint8Array) => void): void {
  wire.ut_metadata.setMetadata = async (bytes) => {
    const isRight = createHash('sha1').update(bytes).digest('hex') === infoHash;
    if (isRight) onInfo(bytes);
    return await Promise.resolve(isRight);
  };
}
