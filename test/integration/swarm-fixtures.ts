/** Swarm nodes on loopback, in this process or in others, that are closed with the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { pino, type Logger } from 'pino';
import { Registry } from 'prom-client';
import { generateIdentity, type Identity } from '../../src/swarm/identity.ts';
import { MEMBERSHIP_DEFAULTS, type MembershipConfig } from '../../src/swarm/membership-config.ts';
import { openSwarm, type Swarm, type SwarmConfig } from '../../src/swarm/swarm.ts';
import { generateSwarmKey, type SwarmKey } from '../../src/swarm/swarm-key.ts';

export const silent = pino({ level: 'silent' });

/** The defaults, but that partitions are looked for more often. */
export const QUICK: MembershipConfig = { ...MEMBERSHIP_DEFAULTS, reconnectIntervalMs: 1_000, syncIntervalMs: 2_000 };

/** Waits until the condition holds. @throws {Error} with `what` when it does not within the time */
export async function until(what: string, timeoutMs: number, condition: () => boolean): Promise<number> {
  const startMs = performance.now();
  while (!condition()) {
    if (performance.now() - startMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await delay(20);
  }
  return performance.now() - startMs;
}

export const makeKey = (): SwarmKey => generateSwarmKey(randomBytes);

interface NodeOptions extends Partial<SwarmConfig> {
  readonly identity?: Identity;
  readonly swarmKey?: SwarmKey | undefined;
  readonly log?: Logger;
  readonly clock?: { nowMs(): number };
  readonly heardAtMs?: (peerId: string) => number | undefined;
}

/** A node on loopback that meets the others through the given ports. */
export async function openNode(
  ports: readonly number[],
  options: NodeOptions = {},
): Promise<Swarm & { readonly metrics: Registry }> {
  const {
    identity = generateIdentity(),
    swarmKey,
    log = silent,
    clock = { nowMs: () => Date.now() },
    heardAtMs = () => undefined,
    ...config
  } = options;
  const metrics = new Registry();
  const swarm = await openSwarm(
    { identity, swarmKey, log, metrics, clock, heardAtMs, random: Math.random },
    {
      listen: { host: '127.0.0.1', port: 0 },
      bootstrap: ports.map((port) => ({ host: 'localhost', port })),
      mdns: false,
      topology: '',
      dataPort: 1,
      allowOpenNetwork: false,
      dht: false,
      trackers: [],
      membership: QUICK,
      ...config,
    },
  );
  return Object.assign(swarm, { metrics });
}

/** A logger whose lines can be read. */
export function captureLog(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  return { log: pino({ level: 'debug' }, sink), lines };
}

/** A node in a process of its own. */
export interface ChildNode {
  readonly child: ChildProcess;
  readonly peerId: string;
  readonly port: number;
  /** Live members as it last told, every 100 ms. */
  alive(): number;
}

/** Starts a node process. The caller ends it. */
export async function spawnNode(key: SwarmKey, ports: readonly number[]): Promise<ChildNode> {
  const script = new URL('swarm-child.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, JSON.stringify({ key: key.toFileText(), ports })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let alive = 0;
  const lines = createInterface({ input: child.stdout });
  const [first] = (await once(lines, 'line', { signal: AbortSignal.timeout(20_000) })) as [string];
  lines.on('line', (line) => {
    alive = (JSON.parse(line) as { alive: number }).alive;
  });
  const { peerId, port } = JSON.parse(first) as { peerId: string; port: number };
  return { child, peerId, port, alive: () => alive };
}
