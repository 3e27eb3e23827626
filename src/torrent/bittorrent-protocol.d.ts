/** The part of the protocol of webtorrent that the engine changes. The package brings no types. */
declare module 'bittorrent-protocol' {
  /** A connection, from before its peer has said hello. */
  export default class Wire {
    /** How it came to be: `tcpIncoming`, `tcpOutgoing`, `webSeed` … */
    readonly type: string;
    _onHandshakeBuffer: (this: Wire, bytes: Uint8Array) => void;
    _onMessageLength: (this: Wire, head: Uint8Array) => void;
    _onMessage: (this: Wire, bytes: Uint8Array) => void;
    destroy(): void;
  }
}
