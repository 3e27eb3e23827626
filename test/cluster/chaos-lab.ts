/**
 * A swarm on which faults are let loose: real nodes and a docker-registry, each on a host of its own behind a shaped link. After
 * each fault `expectNothingLeft` holds every node to what it held before: no transfer, connection, file or memory may stay.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { rankHomes } from '../../src/swarm/home.ts';
import { requirement } from '../skip-reasons.ts';
import { pushBlob, requireDockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { NetworkLab, type LabHost } from '../support/network-lab.ts';
import { until } from '../support/programs.ts';
import { ChaosNode } from './chaos-node.ts';
import { expectDelivered, type ChaosBlob } from './client-outcome.ts';
import { WatchedRead } from './watched-read.ts';

export const MIB = 1024 * 1024;
/** By which name the nodes know the registry. */
const UPSTREAM = 'chaos.test';
const REPOSITORY = 'team/app';
const REGISTRY_PORT = 5000;
/** So that a blob takes about two seconds, and there is a middle. */
export const RATE_BITS = 80_000_000;
export const BLOB_BYTES = 16 * MIB;

/** True when a lab can be opened here; states what is lacking otherwise. */
export async function requireChaosLab(): Promise<boolean> {
  const hasNamespaces = await NetworkLab.isAvailable();
  const remedy = 'run as root on Linux with iproute2 and curl';
  return [requirement('network namespaces', hasNamespaces, remedy), requireDockerRegistry()].every(Boolean);
}

/** A client of one node, in the middle of its read. */
export interface CrowdMember {
  readonly node: ChaosNode;
  readonly read: WatchedRead;
}

/** What can be chosen of a lab. */
export interface ChaosLabOptions {
  /** Called before the nodes are started; answers further flags of every node. */
  readonly prepare?: (lab: ChaosLab) => Promise<readonly string[]>;
  /** The first node is a seed; what the others read comes from there, and no other registry is. */
  readonly hasSeed?: boolean;
}

/** Where blobs are pushed. */
interface Desk {
  push(bytes: Buffer): Promise<unknown>;
  stop?(): Promise<void>;
}

export class ChaosLab implements AsyncDisposable {
  readonly net: NetworkLab;
  readonly folder: string;
  readonly nodes: ChaosNode[] = [];
  /** Where the registry is, or the seed. */
  readonly originHost: LabHost;
  readonly #hasSeed: boolean;
  #desk: Desk;
  #flags: readonly string[] = [];
  #origin: ChildProcess | undefined;

  private constructor(net: NetworkLab, folder: string, originHost: LabHost, hasSeed: boolean) {
    this.net = net;
    this.folder = folder;
    this.originHost = originHost;
    this.#hasSeed = hasSeed;
    this.#desk = { push: async (bytes) => await this.#pushToSeed(bytes) };
  }

  /**
   * Opens a lab whose nodes know each other and have exchanged blobs.
   */
  static async open(nodeCount: number, options: ChaosLabOptions = {}): Promise<ChaosLab> {
    const net = await NetworkLab.open();
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-chaos-'));
    const key = `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`;
    await writeFile(join(folder, 'swarm.key'), key, { mode: 0o600 });
    const originHost = await net.addHost('origin', { rateBits: RATE_BITS });
    const hasSeed = options.hasSeed === true;
    const lab = new ChaosLab(net, folder, originHost, hasSeed);
    try {
      if (!hasSeed) await lab.#openRegistry();
      const hosts = hasSeed ? [originHost] : [];
      for (let index = hosts.length; index < nodeCount; index += 1)
        hosts.push(await net.addHost(`n${index}`, { rateBits: RATE_BITS }));
      lab.#flags = (await options.prepare?.(lab)) ?? [];
      lab.nodes.push(...(await Promise.all(hosts.map(async (host) => await lab.#startNode(host, hosts)))));
      await lab.untilWhole();
      await lab.#warmUp();
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** The registry that nodes read from. */
  get origin(): ChildProcess {
    if (this.#origin === undefined) throw new Error('the origin was not started');
    return this.#origin;
  }

  get keyFile(): string {
    return join(this.folder, 'swarm.key');
  }

  get originUrl(): string {
    return `http://${this.originHost.address}:${REGISTRY_PORT}`;
  }

  /** Blobs are pushed to a registry that shares its storage with the one that the nodes read. */
  async #openRegistry(): Promise<void> {
    const registry = await startDockerRegistry(this.folder);
    this.#desk = {
      push: async (bytes) => await pushBlob(registry.url, REPOSITORY, bytes),
      stop: async () => await registry.stop(),
    };
    await this.startOrigin();
  }

  async #pushToSeed(bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes);
    const path = join(this.folder, digest);
    await writeFile(path, bytes);
    const url = `http://127.0.0.1:${REGISTRY_PORT}/v2/${REPOSITORY}/blobs/uploads/?digest=${digest}`;
    await this.net.exec(this.originHost, 'curl', ['-sSf', '--data-binary', `@${path}`, url]);
    await rm(path);
  }

  /** Starts the registry that nodes read from, or starts it again. */
  async startOrigin(): Promise<void> {
    const path = join(this.folder, 'origin.yml');
    const storage = { filesystem: { rootdirectory: join(this.folder, 'storage') } };
    // JSON is YAML.
    const config = { version: '0.1', log: { level: 'error' }, storage, http: { addr: `0.0.0.0:${REGISTRY_PORT}` } };
    await writeFile(path, JSON.stringify(config));
    this.#origin = this.net.start(this.originHost, 'docker-registry', ['serve', path], { stdio: 'ignore' });
    await until('the registry answers', async () => {
      const asked = this.net.exec(this.originHost, 'curl', ['-sf', `http://127.0.0.1:${REGISTRY_PORT}/v2/`]);
      return await asked.then(
        () => true,
        () => false,
      );
    });
  }

  /** Waits until every node knows every other. */
  async untilWhole(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => await node.lab.untilMembers(this.nodes.length)));
  }

  /** Pushes a blob that nobody has, at home with the node given, or anywhere. */
  async push(options: { home?: { peerId: string }; sizeBytes?: number } = {}): Promise<ChaosBlob> {
    const blob = this.makeBlob(options);
    await this.#desk.push(blob.bytes);
    return blob;
  }

  /** Makes a blob that is nowhere. */
  makeBlob(options: { home?: { peerId: string }; sizeBytes?: number } = {}): ChaosBlob {
    const bytes = randomBytes(options.sizeBytes ?? BLOB_BYTES);
    const members = this.nodes.map(({ peerId }) => ({ peerId, dataAddresses: [], topology: '' }));
    const { home } = options;
    while (home !== undefined && rankHomes(digestOf(bytes), members, 1)[0]?.peerId !== home.peerId)
      randomBytes(16).copy(bytes);
    return { bytes, digest: digestOf(bytes) };
  }

  /** Has a node read a blob for a client on its host. */
  read(node: ChaosNode, { digest }: ChaosBlob): WatchedRead {
    return new WatchedRead(this.net, node.host, blobUrl(digest, node.role === 'seed' ? '' : `?ns=${UPSTREAM}`));
  }

  /** Has several nodes read a blob at once, and waits until each client has a share of it. */
  async readInCrowd(nodes: readonly ChaosNode[], blob: ChaosBlob, share = 1 / 3): Promise<CrowdMember[]> {
    const crowd = nodes.map((node) => ({ node, read: this.read(node, blob) }));
    await Promise.all(crowd.map(async ({ read }) => await read.untilBytes(blob.bytes.length * share)));
    for (const { read } of crowd) read.forgetSilence();
    return crowd;
  }

  /** All nodes begin to read a blob that nobody has, to which the first is home. */
  async beginCrowd(): Promise<{ blob: ChaosBlob; crowd: CrowdMember[] }> {
    const blob = await this.push({ home: this.node(0) });
    return { blob, crowd: await this.readInCrowd(this.nodes, blob) };
  }

  /** A node by its place; counted from the end when negative. */
  node(index: number): ChaosNode {
    const node = this.nodes.at(index);
    if (node === undefined) throw new RangeError(`there is no node ${index}`);
    return node;
  }

  /** The sum of a metric over nodes, and over the label values that are not given. */
  async sumOfMetric(
    name: string,
    labels: Record<string, string> = {},
    nodes: readonly ChaosNode[] = this.nodes,
  ): Promise<number> {
    const values = await Promise.all(nodes.map(async (node) => await node.metric(name, labels)));
    return values.reduce((sum, value) => sum + value, 0);
  }

  /** Starts a node again that was killed, on what it had. */
  async restart(node: ChaosNode): Promise<void> {
    await this.restartApart(node);
    await this.untilWhole();
  }

  /** Likewise, where the nodes will not all know each other. */
  async restartApart(node: ChaosNode): Promise<void> {
    const hosts = this.nodes.map(({ host }) => host);
    this.nodes[this.nodes.indexOf(node)] = await this.#startNode(node.host, hosts, node);
  }

  /** Holds all nodes to what they held when the lab was opened. */
  async expectNothingLeft(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => await node.expectNothingLeft(this.nodes.length - 1)));
  }

  async close(): Promise<void> {
    await this.net.close();
    await this.#desk.stop?.();
    await rm(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Everybody has links to everybody, and buffers and files of a first use, before anything is measured. */
  async #warmUp(): Promise<void> {
    const blobs = await Promise.all(this.nodes.map(async (home) => await this.push({ home, sizeBytes: 2 * MIB })));
    const reads = blobs.map(async (blob) => {
      const outcomes = this.nodes.map(async (node) => await this.read(node, blob).outcome());
      for (const outcome of await Promise.all(outcomes)) expectDelivered(outcome, blob);
    });
    await Promise.all(reads);
    await Promise.all(this.nodes.map(async (node) => await node.beginWatch()));
  }

  async #startNode(host: LabHost, hosts: readonly LabHost[], before?: ChaosNode): Promise<ChaosNode> {
    const data = join(this.folder, host.name);
    await mkdir(data, { recursive: true });
    const config = join(this.folder, `${host.name}.yml`);
    const upstream = { url: this.originUrl, connectTimeout: '1s', stallTimeout: '1s' };
    const role = this.#hasSeed && host === this.originHost ? 'seed' : 'node';
    const own = role === 'seed' ? { push: { names: ['**'] } } : { upstreams: { [UPSTREAM]: upstream } };
    await writeFile(config, JSON.stringify(own));
    const bootstrap = hosts.filter((other) => other !== host).slice(0, 2);
    const args = [
      ...['--config', config, '--swarm-key', this.keyFile, '--swarm-mdns=false', '--transfer-linger', '500ms'],
      ...bootstrap.flatMap(({ address }) => ['--bootstrap', `${address}:5002`]),
      ...this.#flags,
    ];
    return await ChaosNode.start(this.net, host, { data, args, role, before });
  }
}

/** The reads of a crowd by the nodes given. */
export function readsAt(crowd: readonly CrowdMember[], nodes: readonly ChaosNode[]): WatchedRead[] {
  return crowd.filter(({ node }) => nodes.includes(node)).map(({ read }) => read);
}

/** The reads of a crowd by all other nodes. */
export function readsElsewhere(crowd: readonly CrowdMember[], victim: ChaosNode): WatchedRead[] {
  return crowd.filter(({ node }) => node !== victim).map(({ read }) => read);
}

/** Where a client on the host of a node asks for a blob. */
function blobUrl(digest: Digest, search: string): string {
  return `http://127.0.0.1:5000/v2/${REPOSITORY}/blobs/${digest}${search}`;
}
