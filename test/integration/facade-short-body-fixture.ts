/** An image in a facade, real clients that pull it, and a containerd of the test's own. */
import { spawn, execFile, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../src/oci/media-type.ts';
import type { TestFacade } from '../unit/registry/facade-fixture.ts';

/** An image of one uncompressed layer. */
export interface TestImage {
  readonly layer: Buffer;
  readonly layerDigest: Digest;
  readonly config: Buffer;
  readonly manifest: Buffer;
}

/** True when a program is on the path. */
export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** Makes an image whose layer holds one file of random bytes, so that no part of it is like another. */
export function makeImage(fileSizeBytes: number): TestImage {
  const layer = tarOf('data', randomBytes(fileSizeBytes));
  const layerDigest = digestOf(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [layerDigest] },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layerDigest, size: layer.length }],
    }),
  );
  return { layer, layerDigest, config, manifest };
}

/** Puts the image into a facade as `ghcr.io/test/image:1`. */
export function serveImage(node: TestFacade, image: TestImage): void {
  node.blobs.add(image.layer);
  node.blobs.add(image.config);
  const digest = digestOf(image.manifest);
  const served = { digest, mediaType: MEDIA_TYPES.ociManifest, bytes: image.manifest };
  node.manifests.served.set('ghcr.io/test/image 1', served);
  node.manifests.served.set(`ghcr.io/test/image ${digest}`, served);
}

/** How a program ended. */
export interface ProgramResult {
  readonly exitCode: number;
  readonly output: string;
}

/** Runs a program to its end, for at most a minute. */
export async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<ProgramResult> {
  try {
    const options = { timeout: 60_000, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
    const { stdout, stderr } = await promisify(execFile)(program, args, options);
    return { exitCode: 0, output: stdout + stderr };
  } catch (error) {
    const failed = error as { code?: number | string; stdout?: string; stderr?: string };
    return {
      exitCode: typeof failed.code === 'number' ? failed.code : -1,
      output: `${failed.stdout ?? ''}${failed.stderr ?? ''}`,
    };
  }
}

/** A containerd with its own root, state and socket. */
export class TestContainerd implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#directory = directory;
    this.#process = process;
  }

  static async open(): Promise<TestContainerd> {
    const directory = await mkdtemp(join(tmpdir(), 'dockyard-containerd-'));
    const config = [
      'version = 2',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]',
      '[grpc]',
      `  address = "${directory}/containerd.sock"`,
      '[plugins."io.containerd.internal.v1.opt"]',
      `  path = "${directory}/opt"`,
    ];
    await writeFile(join(directory, 'config.toml'), config.join('\n'));
    const child = spawn('containerd', ['--config', join(directory, 'config.toml')], { stdio: 'ignore' });
    const containerd = new TestContainerd(directory, child);
    const endsAtMs = performance.now() + 20_000;
    while ((await containerd.ctr('version')).exitCode !== 0) {
      if (performance.now() > endsAtMs || child.exitCode !== null) {
        await containerd[Symbol.asyncDispose]();
        throw new Error('containerd did not start');
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return containerd;
  }

  ctr(...args: string[]): Promise<ProgramResult> {
    return run('ctr', ['--address', join(this.#directory, 'containerd.sock'), '-n', 'test', ...args]);
  }

  /** Pulls `ghcr.io/test/image:1` from `mirrors` in their order, and then from `server`; all are `http://host:port`. */
  async pull(mirrors: readonly string[], server: string): Promise<ProgramResult> {
    const hosts = join(this.#directory, 'hosts');
    await mkdir(join(hosts, 'ghcr.io'), { recursive: true });
    const tables = mirrors.map((mirror) => `[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n`);
    await writeFile(join(hosts, 'ghcr.io', 'hosts.toml'), `server = "${server}"\n${tables.join('')}`);
    return this.ctr(
      'images',
      'pull',
      '--snapshotter',
      'native',
      '--platform',
      'linux/amd64',
      '--hosts-dir',
      hosts,
      '--plain-http',
      'ghcr.io/test/image:1',
    );
  }

  /** The SHA-256 of a blob as containerd holds it. */
  async digestOfHeld(digest: Digest): Promise<string> {
    const { output } = await run('sha256sum', [
      join(this.#directory, 'root/io.containerd.content.v1.content/blobs/sha256', digest.slice(7)),
    ]);
    return `sha256:${output.slice(0, 64)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#process);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A dockerd with its own root, state and socket, and no network of its own. */
export class TestDockerd implements AsyncDisposable {
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(directory: string, process: ChildProcess) {
    this.#directory = directory;
    this.#process = process;
  }

  static async open(): Promise<TestDockerd> {
    const directory = await mkdtemp(join(tmpdir(), 'dockyard-dockerd-'));
    const args = [
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false',
      '--storage-driver=vfs',
      `--host=unix://${directory}/docker.sock`,
    ];
    const places = [
      `--data-root=${directory}/root`,
      `--exec-root=${directory}/exec`,
      `--pidfile=${directory}/docker.pid`,
    ];
    const child = spawn('dockerd', [...args, ...places], { stdio: 'ignore' });
    const dockerd = new TestDockerd(directory, child);
    const endsAtMs = performance.now() + 30_000;
    while ((await dockerd.docker('info')).exitCode !== 0) {
      if (performance.now() > endsAtMs || child.exitCode !== null) {
        await dockerd[Symbol.asyncDispose]();
        throw new Error('dockerd did not start');
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return dockerd;
  }

  docker(...args: string[]): Promise<ProgramResult> {
    return run('docker', ['--host', `unix://${this.#directory}/docker.sock`, ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#process);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Ends a process that this module started, and waits for it. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}

/** A tar archive with one file. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}
