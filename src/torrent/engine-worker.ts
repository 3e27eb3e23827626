/**
 * The thread in which webtorrent runs. Whatever goes wrong in there, an endless loop of some peer's making or a fault that
 * nobody caught, ends this thread and not the node; and hashing and ciphers for torrents keep no pull waiting. It has no
 * disk: it asks the main thread for every byte.
 */
import { parentPort, workerData } from 'node:worker_threads';
import WebTorrent, { type PeerWire, type Torrent, type TorrentOptions } from 'webtorrent';
import { asError } from '../oci/error.ts';
import { AskingStore, type StorageAsker } from './asking-store.ts';
import { containFaults } from './contained-faults.ts';
import type { EngineReport, EngineRequest, EngineThreadData } from './engine-protocol.ts';
import { takeInfo } from './info-dictionary.ts';
import { leaveGiversOfFalsePieces } from './false-pieces.ts';
import { Peers } from './peers.ts';
import { chooseAmongMissing, type ChoosingTorrent } from './rarest-piece.ts';
import { hideFromNeighbours } from './private-torrent.ts';
import { askDeeper } from './request-depth.ts';
import { WindowCache } from './window-cache.ts';

/** Pieces on their way to the disk, beyond which peers are told to be slow, and below which they need not be. */
const MANY_UNWRITTEN_BYTES = 64 * 1024 * 1024;
const FEW_UNWRITTEN_BYTES = 16 * 1024 * 1024;
const SLOW_BYTES_PER_SECOND = 64 * 1024;

const PROGRESS_INTERVAL_MS = 500;

/** What is said of no torrent. */
const NO_TORRENT = 0;

const SECURE = { off: 0, prefer: 1, require: 2 } as const;

/** Peers of one torrent that are served at once. */
const UPLOAD_SLOTS = 20;

if (parentPort === null) throw new TypeError('engine-worker.ts is to be started as a worker thread');
const port = parentPort;
const { settings, windowMemory } = workerData as EngineThreadData;
const torrents = new Map<number, Torrent>();
const windows = new WindowCache(windowMemory);
const asked = new Map<number, { resolve(bytes: Uint8Array | undefined): void; reject(error: Error): void }>();
let nextAskId = 1;
let unwrittenBytes = 0;
let isSlowed = false;
let downloadLimit = limitOf(settings.downloadBytesPerSecond);
let uploadLimit = limitOf(settings.uploadBytesPerSecond);
let uploadedBytes = 0;
let downloadedBytes = 0;

containFaults((error) => report({ kind: 'warning', id: NO_TORRENT, message: `a peer was left: ${error.message}` }));

const client = new WebTorrent({
  torrentPort: { host: settings.host, port: settings.port },
  dht: settings.dht && (settings.dhtBootstrap.length === 0 ? {} : { bootstrap: settings.dhtBootstrap }),
  // The same number over UDP: one hole in a firewall.
  dhtPort: settings.port,
  lsd: settings.lsd,
  utPex: settings.pex,
  utp: false,
  natUpnp: false,
  natPmp: false,
  // The main thread speaks to trackers: tracker-announcer.ts.
  tracker: false,
  peerId: settings.peerId,
  maxConns: settings.maxPeersPerTorrent,
  uploadLimit,
  downloadLimit,
  secure: SECURE[settings.encryption],
  userAgent: 'Dockyard',
});

const peers = new Peers(
  { windows, nowMs: () => performance.now(), isLimited: () => uploadLimit !== -1, port: listeningPort },
  { patienceMs: settings.peerPatienceMs, isExchanging: settings.pex },
);

function listeningPort(): number {
  return client.address()?.port ?? settings.port;
}

function report(message: EngineReport): void {
  port.postMessage(message);
}

/** Webtorrent means no limit by -1. */
function limitOf(bytesPerSecond: number): number {
  return bytesPerSecond === 0 ? -1 : bytesPerSecond;
}

async function ask(question: (askId: number) => EngineReport): Promise<Uint8Array | undefined> {
  const askId = nextAskId++;
  const answer = Promise.withResolvers<Uint8Array | undefined>();
  asked.set(askId, answer);
  report(question(askId));
  return await answer.promise;
}

const asker: StorageAsker = {
  read: async (id, start, end) => {
    const bytes = await ask((askId) => ({ kind: 'read', askId, id, start, end, windowOffsetBytes: undefined }));
    return bytes ?? new Uint8Array();
  },
  readWindow: async (id, start, end, windowOffsetBytes) => {
    await ask((askId) => ({ kind: 'read', askId, id, start, end, windowOffsetBytes }));
  },
  write: async (id, offsetBytes, bytes) => {
    countUnwritten(bytes.length);
    try {
      await ask((askId) => ({ kind: 'write', askId, id, offsetBytes, bytes }));
    } finally {
      countUnwritten(-bytes.length);
    }
  },
};

/** A disk that is slower than the link holds up the link, and not the memory. */
function countUnwritten(changeBytes: number): void {
  unwrittenBytes += changeBytes;
  const shouldSlow = unwrittenBytes > (isSlowed ? FEW_UNWRITTEN_BYTES : MANY_UNWRITTEN_BYTES);
  if (shouldSlow === isSlowed) return;
  isSlowed = shouldSlow;
  client.throttleDownload(isSlowed ? SLOW_BYTES_PER_SECOND : downloadLimit);
}

function startOptions({ start, pieceCount }: Extract<EngineRequest, { kind: 'add' }>): TorrentOptions {
  switch (start) {
    case 'complete':
      return { skipVerify: true };
    case 'empty':
      return { bitfield: new Uint8Array(Math.ceil(pieceCount / 8)) };
    case 'unknown':
      return {};
  }
}

function add(request: Extract<EngineRequest, { kind: 'add' }>): void {
  const { id, metainfo, sizeBytes, pieceSizeBytes, start } = request;
  const isComplete = start === 'complete';
  const preloadedStore = new AskingStore(asker, windows, { id, sizeBytes, pieceSizeBytes, isComplete });
  const options = { preloadedStore, storeCacheSlots: 0, strategy: 'rarest', uploads: UPLOAD_SLOTS } as const;
  const torrent = client.add(metainfo, { ...options, ...startOptions(request) });
  enter(id, torrent, request.peers);
  if (!isComplete)
    torrent.once('metadata', () => chooseAmongMissing(torrent as unknown as ChoosingTorrent, Math.random));
  torrent.once('ready', () => report({ kind: 'ready', id }));
  torrent.once('done', () => {
    preloadedStore.onComplete();
    report({ kind: 'done', id });
  });
}

function learn({ id, magnet, peers: addresses }: Extract<EngineRequest, { kind: 'learn' }>): void {
  const nothing = new AskingStore(asker, windows, { id, sizeBytes: 0, pieceSizeBytes: 1, isComplete: true });
  const torrent = client.add(magnet, { preloadedStore: nothing, storeCacheSlots: 0, deselect: true });
  enter(id, torrent, addresses);
  torrent.on('wire', (wire: PeerWire) => {
    takeInfo(wire, torrent.infoHash, (info) => {
      report({ kind: 'info', id, metainfo: Buffer.concat([Buffer.from('d4:info'), info, Buffer.from('e')]) });
      // Nothing was verified of it but its hash, so it goes no further here.
      remove(id);
    });
  });
}

function enter(id: number, torrent: Torrent, addresses: readonly string[]): void {
  torrents.set(id, torrent);
  hideFromNeighbours(torrent, client);
  torrent.on('error', (error: unknown) => {
    torrents.delete(id);
    report({ kind: 'failed', id, message: asError(error).message });
  });
  torrent.on('warning', (error: unknown) => report({ kind: 'warning', id, message: asError(error).message }));
  askDeeper(torrent, () => performance.now());
  const onLeft = (address: string, reason: string): void =>
    report({ kind: 'warning', id, message: `${address} ${reason} and was left` });
  leaveGiversOfFalsePieces(torrent, (address) => onLeft(address, 'gave false pieces'));
  peers.enter(torrent, onLeft);
  torrent.on('upload', (bytes: number) => (uploadedBytes += bytes));
  torrent.on('download', (bytes: number) => (downloadedBytes += bytes));
  torrent.once('infoHash', () => addPeers(torrent, addresses));
}

function addPeers(torrent: Torrent | undefined, addresses: readonly string[]): void {
  if (torrent === undefined || torrent.destroyed) return;
  // What is told before webtorrent has read the torrent is told again.
  if (torrent.infoHash === undefined) torrent.once('infoHash', () => addPeers(torrent, addresses));
  else for (const address of addresses) torrent.addPeer(address);
}

function remove(id: number): void {
  const torrent = torrents.get(id);
  torrents.delete(id);
  if (torrent === undefined) report({ kind: 'removed', id });
  else torrent.destroy({ destroyStore: false }, () => report({ kind: 'removed', id }));
}

function setLimits({ uploadBytesPerSecond, downloadBytesPerSecond }: Extract<EngineRequest, { kind: 'limits' }>): void {
  downloadLimit = limitOf(downloadBytesPerSecond);
  uploadLimit = limitOf(uploadBytesPerSecond);
  client.throttleUpload(uploadLimit);
  if (!isSlowed) client.throttleDownload(downloadLimit);
}

function reportProgress(): void {
  const states = Array.from(torrents, ([id, torrent]) => ({
    id,
    heldBytes: torrent.downloaded,
    sentBytes: torrent.uploaded,
    receivedBytes: torrent.received,
    downloadBytesPerSecond: torrent.downloadSpeed,
    uploadBytesPerSecond: torrent.uploadSpeed,
    peers: torrent.numPeers,
  }));
  report({ kind: 'progress', uploadedBytes, downloadedBytes, torrents: states });
}

function answer(request: Extract<EngineRequest, { kind: 'answer' | 'refusal' }>): void {
  const question = asked.get(request.askId);
  asked.delete(request.askId);
  if (request.kind === 'answer') question?.resolve(request.bytes);
  else question?.reject(new Error(request.message));
}

port.on('message', (request: EngineRequest) => {
  switch (request.kind) {
    case 'add':
      add(request);
      return;
    case 'learn':
      learn(request);
      return;
    case 'peers':
      addPeers(torrents.get(request.id), request.peers);
      return;
    case 'remove':
      remove(request.id);
      return;
    case 'limits':
      setLimits(request);
      return;
    case 'answer':
    case 'refusal':
      answer(request);
      return;
    case 'close':
      reportProgress();
      client.destroy(() => report({ kind: 'closed' }));
  }
});

if (client._connPool !== null) client._connPool.tcpServer.maxConnections = settings.maxConnections;
client.on('listening', () => report({ kind: 'listening', port: listeningPort() }));
client.on('error', (error: unknown) => {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  report({ kind: 'fault', message: asError(error).message, code });
});
setInterval(() => {
  peers.look();
  reportProgress();
}, PROGRESS_INTERVAL_MS);
