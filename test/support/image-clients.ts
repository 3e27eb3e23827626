/** Real clients behind one face: each pulls an image through a node in the way that its users have set up. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { requireContainerd, TestContainerd } from './containerd-process.ts';
import { requireDockerd, TestDockerd } from './dockerd-process.ts';
import { blobsOf, type Image } from './image-builder.ts';
import { MAIN } from './node-process.ts';
import { isInstalled, mustRun, run, type ProgramResult } from './programs.ts';

/** A client at work. Close it with `await using`. */
export interface ImageClient extends AsyncDisposable {
  /**
   * Pulls an image through a node.
   * @param node `HOST:PORT` of its registry
   * @param name `NAME:TAG` at the upstream
   */
  pull(node: string, name: string): Promise<ProgramResult>;
  /** Whether the client has the image, whole. */
  has(image: Image): Promise<boolean>;
  /** Removes everything that was pulled. */
  forget(): Promise<void>;
}

/** A kind of client. */
export interface ImageClientKind {
  readonly title: string;
  /** By which name the client knows the upstream when it cannot say another. */
  readonly fixedUpstream?: string;
  /** States what it requires; to be called while tests are collected. */
  isAvailable(): boolean;
  /** @param upstream the name by which nodes know the registry; the client of Docker Hub's mirrors does not say it */
  open(upstream: string): Promise<ImageClient>;
}

const isRoot = process.getuid?.() === 0;

/** All clients, in all the ways in which they name an upstream. */
export const IMAGE_CLIENTS: readonly ImageClientKind[] = [
  {
    title: 'dockerd with registry-mirrors',
    fixedUpstream: 'docker.io',
    isAvailable: requireDockerd,
    open: () => openDocker('mirror', ''),
  },
  {
    title: 'dockerd with the registry in the path',
    isAvailable: requireDockerd,
    open: (upstream) => openDocker('path', upstream),
  },
  { title: 'containerd with hosts.toml', isAvailable: requireContainerd, open: openContainerd },
  {
    title: 'skopeo copy',
    isAvailable: () => requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo'),
    open: openSkopeo,
  },
  containersStorageKind('podman pull', 'podman', ['pull', '--quiet']),
  containersStorageKind('buildah pull', 'buildah', ['pull', '--quiet']),
  containersStorageKind('buildah from', 'buildah', ['from', '--quiet']),
];

async function openDocker(way: 'mirror' | 'path', upstream: string): Promise<ImageClient> {
  const dockerd = await TestDockerd.open();
  const pull = async (node: string, name: string): Promise<ProgramResult> => {
    if (way === 'path') return await dockerd.docker('pull', `${node}/${upstream}/${name}`);
    await dockerd.useMirrors([`http://${node}`]);
    return await dockerd.docker('pull', name);
  };
  const images = async (): Promise<string[]> =>
    linesOf((await dockerd.docker('images', '--all', '--quiet', '--no-trunc')).output);
  return {
    pull,
    // The identity of an image is the digest of its config, which holds the digests of its unpacked layers.
    has: async (image) => (await images()).includes(image.config.digest),
    forget: async () => {
      for (const id of await images()) await dockerd.docker('rmi', '--force', id);
    },
    [Symbol.asyncDispose]: () => dockerd[Symbol.asyncDispose](),
  };
}

async function openContainerd(upstream: string): Promise<ImageClient> {
  const containerd = await TestContainerd.open();
  return {
    pull: (node, name) => containerd.pull(`${upstream}/${name}`, [`http://${node}`]),
    has: async (image) => {
      for (const digest of blobsOf(image)) if ((await containerd.digestOfHeld(digest)) !== digest) return false;
      return true;
    },
    forget: () => containerd.forgetAll(),
    [Symbol.asyncDispose]: () => containerd[Symbol.asyncDispose](),
  };
}

async function openSkopeo(upstream: string): Promise<ImageClient> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-skopeo-'));
  const forget = (): Promise<void> => rm(folder, { recursive: true, force: true });
  return {
    pull: (node, name) =>
      run('skopeo', [
        ...['copy', '--insecure-policy', '--src-tls-verify=false'],
        ...[`docker://${node}/${upstream}/${name}`, `dir:${folder}`],
      ]),
    has: async (image) => {
      for (const digest of blobsOf(image)) {
        const name = digest.slice('sha256:'.length);
        const path = join(folder, name);
        if (!existsSync(path) || !(await mustRun('sha256sum', [path])).startsWith(name)) return false;
      }
      return true;
    },
    forget,
    [Symbol.asyncDispose]: forget,
  };
}

/** Podman and Buildah: one storage and one configuration, which `dockyard mirror install podman` writes. */
function containersStorageKind(title: string, program: string, command: readonly string[]): ImageClientKind {
  return {
    title,
    isAvailable: () =>
      requirement(program, isRoot && isInstalled(program), `apt-get install ${program}, and run as root`),
    open: (upstream) => openContainersStorage(program, command, upstream),
  };
}

async function openContainersStorage(
  program: string,
  command: readonly string[],
  upstream: string,
): Promise<ImageClient> {
  const folder = await mkdtemp(join(tmpdir(), `dockyard-${program}-`));
  const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
  const images = async (): Promise<string[]> =>
    linesOf((await run(program, [...storage, 'images', '--all', '--quiet', '--no-trunc'])).output);
  return {
    pull: async (node, name) => {
      const root = join(folder, node);
      await mkdir(root, { recursive: true });
      const about = ['--root', root, '--url', `http://${node}`, '--registry', upstream];
      await mustRun(process.execPath, [MAIN, 'mirror', 'install', 'podman', ...about]);
      const dropIn = join(root, 'etc/containers/registries.conf.d/50-dockyard.conf');
      return await run(program, [...storage, ...command, `${upstream}/${name}`], {
        CONTAINERS_REGISTRIES_CONF: dropIn,
      });
    },
    has: async (image) => (await images()).includes(image.config.digest),
    forget: async () => {
      if (program === 'buildah') await run(program, [...storage, 'rm', '--all']);
      for (const id of await images()) await run(program, [...storage, 'rmi', '--force', id.replace('sha256:', '')]);
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function linesOf(output: string): string[] {
  return output.split('\n').filter((line) => line !== '');
}
