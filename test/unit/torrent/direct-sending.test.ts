import { EventEmitter, once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Peer, Wire } from 'webtorrent';
import { sendFromWindows } from '../../../src/torrent/direct-sending.ts';
import { WINDOW_BYTES, WindowCache } from '../../../src/torrent/window-cache.ts';

const memory = new SharedArrayBuffer(WINDOW_BYTES);

/** A connection as webtorrent has it, but for the streams in between: what goes through them is kept. */
class PeerDouble extends EventEmitter implements Peer {
  readonly streamed: Buffer[] = [];
  readonly wire: Wire;
  readonly conn: Socket;

  constructor(conn: Socket, { type = 'tcpIncoming', buffered = 0 } = {}) {
    super();
    this.conn = conn;
    const push = (bytes: Uint8Array | null): boolean => {
      if (bytes !== null) this.streamed.push(bytes as Buffer);
      return true;
    };
    const double = { type, _readableState: { buffered }, push, downloadSpeed: () => 0, destroy: () => undefined };
    this.wire = Object.assign(new EventEmitter(), double);
  }
}

describe('bytes for a peer', () => {
  let ours: Socket;
  let theirs: Socket;
  let windows: WindowCache;
  const stack = { current: new AsyncDisposableStack() };

  beforeEach(async () => {
    stack.current = new AsyncDisposableStack();
    windows = new WindowCache(memory);
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    theirs = connect((server.address() as AddressInfo).port, '127.0.0.1');
    [ours] = (await once(server, 'connection')) as [Socket];
    stack.current.defer(() => {
      theirs.destroy();
      ours.destroy();
      server.close();
    });
  });

  afterEach(async () => await stack.current.disposeAsync());

  async function nextTurn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  async function window(text: string): Promise<Buffer> {
    const begun = windows.begin(text, text.length, async (offset) => {
      Buffer.from(memory, offset, text.length).write(text);
      await Promise.resolve();
    });
    await begun?.reading;
    if (begun === undefined) throw new Error('there is no room for a window');
    return begun.bytes;
  }

  async function received(length: number): Promise<string> {
    let text = '';
    for await (const chunk of theirs) {
      text += String(chunk);
      if (text.length >= length) break;
    }
    return text;
  }

  test('go to the socket in their order, and their window is free when they have gone', async () => {
    const peer = new PeerDouble(ours);
    let counted = 0;
    peer.on('upload', (bytes: number) => (counted += bytes));
    sendFromWindows(peer, windows, () => false);
    peer.wire.push(Buffer.from('greeting'));
    expect(peer.streamed.map(String)).toEqual(['greeting']);
    await nextTurn();
    const bytes = await window('block');
    peer.wire.push(Buffer.from('head '));
    peer.wire.push(bytes);
    expect(windows.begin('next', 4, async () => await Promise.resolve())).toBeUndefined();
    expect(await received(10)).toBe('head block');
    expect(counted).toBe(10);
    await nextTurn();
    expect(windows.begin('next', 4, async () => await Promise.resolve())).toBeDefined();
    expect(peer.streamed).toHaveLength(1);
  });

  test.each([
    ['uploads have a limit', {}, true],
    ['the streams still hold something', { buffered: 1 }, false],
    ['it is no socket', { type: 'webSeed' }, false],
  ])('go through the streams, and never as a window itself, while %s', async (_, options, isLimited) => {
    const peer = new PeerDouble(ours, options);
    sendFromWindows(peer, windows, () => isLimited);
    await nextTurn();
    const bytes = await window('block');
    peer.wire.push(bytes);
    const [sent] = peer.streamed;
    expect(sent?.toString()).toBe('block');
    if (peer.wire.type !== 'webSeed') expect(windows.owns(sent ?? bytes)).toBe(false);
    expect(ours.bytesWritten).toBe(0);
  });

  test('go through the streams for good once a limit was set', async () => {
    const peer = new PeerDouble(ours);
    let isLimited = false;
    sendFromWindows(peer, windows, () => isLimited);
    await nextTurn();
    peer.wire.push(Buffer.from('one'));
    isLimited = true;
    peer.wire.push(Buffer.from('two'));
    isLimited = false;
    peer.wire.push(Buffer.from('three'));
    expect(peer.streamed.map(String)).toEqual(['two', 'three']);
    expect(await received(3)).toBe('one');
  });

  test('go nowhere when the connection has ended', async () => {
    const peer = new PeerDouble(ours);
    sendFromWindows(peer, windows, () => false);
    await nextTurn();
    ours.destroy();
    expect(peer.wire.push(await window('late'))).toBe(false);
    expect(windows.begin('next', 4, async () => await Promise.resolve())).toBeDefined();
  });
});
