/** What a process holds of the system, read from /proc: descriptors, and what its sockets are connected to. */
import { readdir, readFile, readlink } from 'node:fs/promises';

/** What a process holds at one moment. */
export interface Footprint {
  /** Regular files and folders that are open. */
  readonly files: readonly string[];
  /** TCP connections, in whatever state, that still have a descriptor. */
  readonly connections: readonly Connection[];
  /** Descriptors that are neither: pipes, timers, listeners, sockets of the system. */
  readonly otherCount: number;
  readonly residentBytes: number;
}

/** One TCP connection of a process. */
export interface Connection {
  readonly localPort: number;
  readonly remotePort: number;
  /** Hexadecimal, as in /proc. */
  readonly remoteAddress: string;
}

const LISTENING = '0A';

/**
 * Reads what a process of this machine holds, in whatever network namespace it is.
 * @throws {Error} ENOENT when there is no such process
 */
export async function footprintOf(pid: number): Promise<Footprint> {
  const connectionsByInode = await readConnections(pid);
  const files: string[] = [];
  const connections: Connection[] = [];
  let otherCount = 0;
  for (const target of await readDescriptors(pid)) {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    const connection = inode === undefined ? undefined : connectionsByInode.get(inode);
    if (connection !== undefined) connections.push(connection);
    else if (target.startsWith('/') && !target.startsWith('/dev/')) files.push(target);
    else otherCount += 1;
  }
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const residentBytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  return { files, connections, otherCount, residentBytes };
}

async function readDescriptors(pid: number): Promise<string[]> {
  const numbers = await readdir(`/proc/${pid}/fd`);
  // One that was closed meanwhile is not held.
  const targets = await Promise.all(numbers.map((number) => readlink(`/proc/${pid}/fd/${number}`).catch(() => '')));
  return targets.filter((target) => target !== '');
}

async function readConnections(pid: number): Promise<Map<string, Connection>> {
  const found = new Map<string, Connection>();
  for (const table of ['tcp', 'tcp6']) {
    const text = await readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const [, local = '', remote = '', state, , , , , , inode] = line.trim().split(/\s+/);
      if (inode === undefined || state === LISTENING) continue;
      const [remoteAddress = ''] = remote.split(':');
      found.set(inode, { localPort: portOf(local), remotePort: portOf(remote), remoteAddress });
    }
  }
  return found;
}

function portOf(address: string): number {
  return parseInt(address.slice(address.lastIndexOf(':') + 1), 16);
}
