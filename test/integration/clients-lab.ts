/**
 * A registry behind a slow line, nodes that read it over the line, and images that no test shares with another. The line is
 * fast until a test slows it down.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { requireDockerRegistry, startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts';
import { makeRandomImage, pushImage, type Image, type Layer } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled } from '../support/programs.ts';
import { StreamingRead } from '../support/streaming-read.ts';
import { ThrottlingProxy } from '../support/throttling-proxy.ts';

export const MIB = 1024 * 1024;
/** By which name the nodes know the registry. */
export const UPSTREAM = 'registry.test';
/** The file in the first layer of an image. */
export const LAYER_BYTES = 16 * MIB;
/** So a layer takes two seconds. */
export const SLOW_BYTES_PER_SECOND = 8 * MIB;
export const FAST_BYTES_PER_SECOND = 1024 * MIB;
/** The longest that a client may wait for the next byte because a holder fell silent. */
export const MAX_SILENCE_MS = 3_000;
/** Has a node send to others as slowly as the slow line. */
export const SLOW_UPLOAD = ['--transfer-upload-rate', `${SLOW_BYTES_PER_SECOND}`] as const;

/** An image in the registry. */
export interface PushedImage {
  /** Its repository; its tag is `1`. */
  readonly name: string;
  readonly image: Image;
  /** Its first layer. */
  readonly layer: Layer;
}

/** True when all that a lab needs can be run; states the requirements otherwise. */
export function requireLab(): boolean {
  return [
    requireDockerRegistry(),
    requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images'),
    requirement('curl', isInstalled('curl'), 'apt-get install curl'),
  ].every(Boolean);
}

/** Close it with `close`; between tests, `reset` ends the nodes. */
export class ClientsLab {
  readonly folder: string;
  #registry: DockerRegistry;
  #line: ThrottlingProxy;
  #nodes: NodeProcess[] = [];
  #nodeCount = 0;
  #imageCount = 0;

  private constructor(folder: string, registry: DockerRegistry, line: ThrottlingProxy) {
    this.folder = folder;
    this.#registry = registry;
    this.#line = line;
  }

  static async open(): Promise<ClientsLab> {
    const folder = await mkdtemp(join(tmpdir(), 'dockyard-lab-'));
    const registry = await startDockerRegistry(folder);
    return new ClientsLab(folder, registry, await ThrottlingProxy.open(registry.port, FAST_BYTES_PER_SECOND));
  }

  get registry(): DockerRegistry {
    return this.#registry;
  }

  /** Between the registry and the nodes. */
  get line(): ThrottlingProxy {
    return this.#line;
  }

  /** Makes an image, by default of one layer, and pushes it. */
  async pushNew(image: Image = makeRandomImage(LAYER_BYTES)): Promise<PushedImage> {
    const name = `team/app-${(this.#imageCount += 1)}`;
    await pushImage(`127.0.0.1:${this.#registry.port}/${name}:1`, image);
    const [layer] = image.layers;
    if (layer === undefined) throw new TypeError('an image has a layer');
    return { name, image, layer };
  }

  /** Starts a node, and waits until all nodes know each other. `--data` may be given to use a folder again. */
  async startNode(...options: string[]): Promise<NodeProcess> {
    const [peer] = this.#nodes;
    const node = await NodeProcess.start([
      ...(options.includes('--data') ? [] : ['--data', this.newFolder()]),
      ...(options.includes('--upstream') ? [] : ['--upstream', `${UPSTREAM}=${this.#line.url}`]),
      ...(peer === undefined ? [] : ['--bootstrap', await peer.swarm()]),
      ...options,
    ]);
    this.#nodes.push(node);
    for (const each of this.#nodes) await each.untilMembers(this.#nodes.length);
    return node;
  }

  /** A folder for a node; made by the node. */
  newFolder(): string {
    return join(this.folder, `node-${(this.#nodeCount += 1)}`);
  }

  /** Waits for the end of a node that was ended on purpose. */
  async ended(node: NodeProcess): Promise<number | null> {
    this.#nodes = this.#nodes.filter((other) => other !== node);
    return await node.exited();
  }

  /** Begins to read the first layer of an image through a node. */
  read(node: NodeProcess, { name, layer }: PushedImage): StreamingRead {
    return new StreamingRead(`http://${node.facade}/v2/${name}/blobs/${layer.digest}?ns=${UPSTREAM}`);
  }

  /** Has a node fetch the first layer of an image. */
  async fetchLayer(node: NodeProcess, pushed: PushedImage): Promise<void> {
    await using read = this.read(node, pushed);
    const { exitCode, sha256 } = await read.outcome();
    if (exitCode !== 0 || sha256 !== pushed.layer.digest) throw new Error(`the layer did not come: ${read.stderr}`);
  }

  async stopRegistry(): Promise<void> {
    await this.#registry.stop();
  }

  /** Starts it again where it was, with what it had. */
  async startRegistry(): Promise<void> {
    this.#registry = await startDockerRegistry(this.folder, { port: this.#registry.port });
  }

  /** Runs something while the registry is gone. */
  async withoutRegistry(work: () => Promise<void>): Promise<void> {
    await this.stopRegistry();
    try {
      await work();
    } finally {
      await this.startRegistry();
    }
  }

  /** Ends all nodes, and makes the line fast. */
  async reset(): Promise<void> {
    for (const node of this.#nodes.splice(0)) await node[Symbol.asyncDispose]();
    this.#line.setRate(FAST_BYTES_PER_SECOND);
  }

  async close(): Promise<void> {
    await this.reset();
    await this.#line[Symbol.asyncDispose]();
    await this.#registry.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
