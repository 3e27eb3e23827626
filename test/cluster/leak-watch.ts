/**
 * Whether a running node holds more than it held when all was well: open files, connections, other descriptors, memory after a
 * collection, work that has not ended, half-written files. Asked from outside, of the process and of its admin server.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../support/programs.ts';
import { tellMs } from './figures.ts';
import { footprintOf, type Footprint } from './footprint.ts';

const COLLECTOR = fileURLToPath(new URL('collector-child.ts', import.meta.url));
/** Of each other node: two links and two connections of the swarm, one dialled from each side. */
const MAX_CONNECTIONS_OF_PEER = 4;
/** What faults may add to what is held after a collection: caches that fill, code that was compiled. */
const MEMORY_SLACK_BYTES = 24 * 1024 * 1024;
/** The system gets memory back late, if at all; a leak of one blob in each case would show all the same. */
const RESIDENT_SLACK_BYTES = 128 * 1024 * 1024;
/** A node that reads a registry keeps so many connections to it for a next time: it may have read over two at once. */
const MAX_CONNECTIONS_OF_READER = 2;
/** Once no file was left for a connection the event loop keeps one in hand, to turn the next away. @see libuv, uv__emfile_trick */
const SPARE_FILE = '/';
/** A node asks itself whether its facade answers, and keeps that connection. */
const OWN_CLIENTS = 1;
const SETTLE_MS = 20_000;
/** A wait for a node to let go of something is told beyond this. */
const TOLD_MS = 2_000;

/** A node, as far as it is watched. */
export interface WatchedNode {
  readonly name: string;
  readonly pid: number;
  /** Its data folder. */
  readonly data: string;
  readonly facadePort: number;
  /** The other nodes read from it as from a registry, and each may keep connections for the next time. */
  readonly isRegistry?: boolean;
  /** The body of a page of its admin server: `status`, `metrics`. */
  page(name: string): Promise<string>;
}

interface Held extends Footprint {
  /** Connections of clients to the facade. */
  readonly clientCount: number;
  /** Heap and external memory after a collection. */
  readonly memoryBytes: number;
}

/** Has nodes that are started meanwhile collect their garbage when they are asked to. */
export async function withCollector<Result>(start: () => Promise<Result>): Promise<Result> {
  const before = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = `--import ${COLLECTOR}`;
  try {
    return await start();
  } finally {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
  }
}

export class LeakWatch {
  readonly #node: WatchedNode;
  readonly #before: Held;

  private constructor(node: WatchedNode, before: Held) {
    this.#node = node;
    this.#before = before;
  }

  /** Takes what a node holds now, once it is idle, for what it holds when all is well. */
  static async begin(node: WatchedNode): Promise<LeakWatch> {
    await untilIdle(node);
    return new LeakWatch(node, await holdings(node));
  }

  /** The same measure for the process that took the place of this one. */
  for(node: WatchedNode): LeakWatch {
    return new LeakWatch(node, this.#before);
  }

  /** Waits until the node holds no more than before. @throws {Error} that tells what it still holds when that does not come */
  async expectNothingLeft(peerCount: number): Promise<void> {
    const startedAtMs = performance.now();
    await untilIdle(this.#node);
    let left: unknown;
    let leftLast: unknown;
    await until(
      () => `${this.#node.name} holds what it held before; now more: ${JSON.stringify(left)}`,
      async () => {
        left = leftover(this.#before, await holdings(this.#node), {
          peerCount,
          readerCount: this.#node.isRegistry === true ? peerCount : 0,
        });
        leftLast = left ?? leftLast;
        return left === undefined;
      },
      SETTLE_MS,
    );
    const waitedMs = performance.now() - startedAtMs;
    if (waitedMs > TOLD_MS) tellMs(`${this.#node.name} held last ${JSON.stringify(leftLast)}, nothing after`, waitedMs);
    const incoming = await readdir(join(this.#node.data, 'content', 'incoming'));
    if (incoming.length > 0) throw new Error(`${this.#node.name} left half-written files: ${incoming.join(' ')}`);
  }
}

async function untilIdle(node: WatchedNode): Promise<void> {
  let requests = 0;
  let transfers: unknown[] = [];
  await until(
    () => `${node.name} is idle; now ${requests} requests and ${JSON.stringify(transfers)}`,
    async () => {
      ({ transfers } = JSON.parse(await node.page('status')) as { transfers: unknown[] });
      requests = sumOfMetric(await node.page('metrics'), 'dockyard_http_requests_in_flight');
      return transfers.length === 0 && requests === 0;
    },
    SETTLE_MS,
  );
}

async function holdings(node: WatchedNode): Promise<Held> {
  process.kill(node.pid, 'SIGUSR2');
  const metrics = await node.page('metrics');
  const footprint = await footprintOf(node.pid);
  const heapBytes = sumOfMetric(metrics, 'nodejs_heap_size_used_bytes');
  const externalBytes = sumOfMetric(metrics, 'nodejs_external_memory_bytes');
  const files = footprint.files.filter((path) => !isOfBlob(path) && path !== SPARE_FILE);
  const clientCount = footprint.connections.filter(({ localPort }) => localPort === node.facadePort).length;
  return { ...footprint, files, clientCount, memoryBytes: heapBytes + externalBytes };
}

/** The store keeps a bounded number of complete blobs open for their next readers. */
function isOfBlob(path: string): boolean {
  return path.includes('/content/blobs/');
}

/** What is held now beyond what was held before; `undefined` when that is nothing. */
function leftover(
  before: Held,
  now: Held,
  { peerCount, readerCount }: { peerCount: number; readerCount: number },
): object | undefined {
  const idleReaders = readerCount * MAX_CONNECTIONS_OF_READER;
  const maxConnections = Math.max(before.connections.length, peerCount * MAX_CONNECTIONS_OF_PEER + idleReaders);
  const maxClients = Math.max(before.clientCount, OWN_CLIENTS + idleReaders);
  const memoryBytes = now.memoryBytes - before.memoryBytes;
  const residentBytes = now.residentBytes - before.residentBytes;
  const otherCount = now.otherCount - before.otherCount;
  const found = {
    ...(now.files.length > before.files.length && { files: now.files }),
    ...(now.connections.length > maxConnections && { connections: now.connections }),
    ...(now.clientCount > maxClients && { clientCount: now.clientCount }),
    ...(otherCount > 0 && { otherCount }),
    ...(memoryBytes > MEMORY_SLACK_BYTES && { memoryBytes }),
    ...(residentBytes > RESIDENT_SLACK_BYTES && { residentBytes }),
  };
  return Object.keys(found).length === 0 ? undefined : found;
}

/** The sum of a metric, in the text of a page of metrics, over the label values that are not given. */
export function sumOfMetric(page: string, name: string, labels: Record<string, string> = {}): number {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  return page
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
