/**
 * What an operator does around pulls: points clients at the node and back with `dockyard mirror`, and changes upstreams. The configuration lies below a folder; the real client reads it there.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import { requireDockerRegistry, startDockerRegistry, type DockerRegistry } from '../support/docker-registry.ts';
import { requireDockerd, TestDockerd } from '../support/dockerd-process.ts';
import { blobsOf, makeRandomImage, pushImage, type Image } from '../support/image-builder.ts';
import { dockyard } from '../support/command-line.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, run } from '../support/programs.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'registry.test';
const NAME = 'team/app:1';
/** Nobody answers there, and nobody can. */
const DEAD_MIRROR = 'http://127.0.0.1:9';

const isRoot = process.getuid?.() === 0;
const hasOrigin = [
  requireDockerRegistry(),
  requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo, which pushes images'),
].every(Boolean);
const hasContainerd = requireContainerd();
const hasDockerd = requireDockerd();
const hasPodman = requirement('podman', isRoot && isInstalled('podman'), 'apt-get install podman, and run as root');

describe.skipIf(!hasOrigin)('an operator', () => {
  let folder = '';
  let registry: DockerRegistry;
  let image: Image;
  let node: NodeProcess;
  let configFile = '';

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-mirror-'));
    registry = await startDockerRegistry(folder);
    image = makeRandomImage(2 * MIB, 2_000);
    await pushImage(`127.0.0.1:${registry.port}/${NAME}`, image);
    configFile = join(folder, 'dockyard.yaml');
    await writeUpstreams('docker.io', UPSTREAM);
    node = await NodeProcess.start(['--data', join(folder, 'data'), '--config', configFile]);
  });

  afterAll(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Lets the node know the registry by these names. JSON is YAML. */
  async function writeUpstreams(...names: string[]): Promise<void> {
    const upstreams = Object.fromEntries(names.map((name) => [name, { url: registry.url }]));
    await writeFile(configFile, JSON.stringify({ upstreams }));
  }

  /** A file system of a host, with these files. */
  async function makeRoot(files: Record<string, string>): Promise<string> {
    const root = await mkdtemp(join(folder, 'root-'));
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
    return root;
  }

  async function mirror(...args: string[]): Promise<string> {
    const { code, out, err } = await dockyard(['mirror', ...args]);
    expect(code, err).toBe(0);
    return out;
  }

  const install = async (client: string, root: string, ...args: string[]): Promise<string> =>
    await mirror('install', client, '--root', root, '--url', `http://${node.facade}`, ...args);

  const remove = async (client: string, root: string): Promise<string> =>
    await mirror('remove', client, '--root', root);

  /** How many requests clients have made for blobs. */
  const blobRequests = async (): Promise<number> =>
    await node.metric('dockyard_http_requests_total', {
      route: 'blob',
      method: 'GET',
    });

  test.skipIf(!hasContainerd)('points containerd at the node and back, byte for byte', async () => {
    await using containerd = await TestContainerd.open();
    const hosts = 'etc/containerd/certs.d';
    const old = `# ours\nserver = "http://127.0.0.1:9"\n\n[host."${DEAD_MIRROR}"]\n  capabilities = ["pull"]\n`;
    const root = await makeRoot({ [`${hosts}/${UPSTREAM}/hosts.toml`]: old });
    const before = snapshot(root);
    await install('containerd', root, '--registry', UPSTREAM);
    const installed = snapshot(root);
    const requestsBefore = await blobRequests();
    const pulled = await containerd.pullWithHosts(`${UPSTREAM}/${NAME}`, join(root, hosts));
    expect(pulled.exitCode, pulled.output).toBe(0);
    for (const digest of blobsOf(image)) expect(await containerd.digestOfHeld(digest)).toBe(digest);
    expect(await blobRequests()).toBeGreaterThan(requestsBefore);
    await install('containerd', root, '--registry', UPSTREAM);
    expect(snapshot(root)).toEqual(installed);
    await remove('containerd', root);
    expect(snapshot(root)).toEqual(before);
    await containerd.forgetAll();
    expect((await containerd.pullWithHosts(`${UPSTREAM}/${NAME}`, join(root, hosts))).exitCode).not.toBe(0);
  });

  test.skipIf(!hasContainerd)('points containerd at the node for all registries with one file', async () => {
    await using containerd = await TestContainerd.open();
    const root = await makeRoot({});
    await install('containerd', root);
    const pulled = await containerd.pullWithHosts(`${UPSTREAM}/${NAME}`, join(root, 'etc/containerd/certs.d'));
    expect(pulled.exitCode, pulled.output).toBe(0);
    await remove('containerd', root);
    expect(snapshot(root)).toEqual({});
  });

  test.skipIf(!hasDockerd)('points a running dockerd at the node and back, byte for byte', async () => {
    const old = `{\n    "registry-mirrors": ["${DEAD_MIRROR}"],\n\t"log-level":"warn" }`;
    const root = await makeRoot({ 'etc/docker/daemon.json': old });
    const before = snapshot(root);
    await using dockerd = await TestDockerd.open(join(root, 'etc/docker/daemon.json'));
    await install('docker', root);
    await dockerd.reload([`http://${node.facade}`, DEAD_MIRROR]);
    const requestsBefore = await blobRequests();
    const pulled = await dockerd.docker('pull', NAME);
    expect(pulled.exitCode, pulled.output).toBe(0);
    expect(await blobRequests()).toBeGreaterThan(requestsBefore);
    await remove('docker', root);
    expect(snapshot(root)).toEqual(before);
    await dockerd.reload([DEAD_MIRROR]);
  });

  test.skipIf(!hasPodman)('points podman at the node and back, byte for byte', async () => {
    const old = `unqualified-search-registries = ["docker.io"]\n\n[[registry]]\nlocation = "${UPSTREAM}"\n`;
    const root = await makeRoot({
      'etc/containers/registries.conf.d/10-ours.conf': old,
    });
    const before = snapshot(root);
    await install('podman', root, '--registry', UPSTREAM);
    const folders = ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
    // A user's own folder of drop-ins counts as the system's does.
    const home = await mkdtemp(join(folder, 'home-'));
    await mkdir(join(home, '.config'), { recursive: true });
    await symlink(join(root, 'etc/containers'), join(home, '.config/containers'));
    const environment = {
      HOME: home,
      XDG_CONFIG_HOME: join(home, '.config'),
    };
    const requestsBefore = await blobRequests();
    const pulled = await run('podman', [...folders, 'pull', '--quiet', `${UPSTREAM}/${NAME}`], environment);
    expect(pulled.exitCode, pulled.output).toBe(0);
    expect(await blobRequests()).toBeGreaterThan(requestsBefore);
    await remove('podman', root);
    expect(snapshot(root)).toEqual(before);
    await run('podman', [...folders, 'rmi', '--all', '--force'], environment);
  });

  test('adds and takes away an upstream by SIGHUP, for the very next pull', async () => {
    const pull = async (upstream: string): Promise<{ exitCode: number; output: string }> =>
      await run('skopeo', [
        'inspect',
        '--tls-verify=false',
        '--no-tags',
        `docker://${node.facade}/${upstream}/${NAME}`,
      ]);
    const reloaded = (): number => node.log().filter(({ msg }) => msg === 'configuration reloaded').length;
    const reload = async (...names: string[]): Promise<void> => {
      const before = reloaded();
      await writeUpstreams(...names);
      node.child.kill('SIGHUP');
      await expect.poll(reloaded, { timeout: 10_000 }).toBe(before + 1);
    };
    const refused = await pull('new.test');
    expect(refused.exitCode).not.toBe(0);
    expect(refused.output).toContain("'new.test' is not an upstream of this node");
    await reload('docker.io', UPSTREAM, 'new.test');
    const allowed = await pull('new.test');
    expect(allowed.exitCode, allowed.output).toBe(0);
    expect(allowed.output).toContain(image.manifest.digest);
    await reload('docker.io', UPSTREAM);
    expect((await pull('new.test')).exitCode).not.toBe(0);
    expect((await pull(UPSTREAM)).exitCode).toBe(0);
  });
});

/** All files below a folder: their bytes and permissions. */
function snapshot(root: string): Record<string, string> {
  const entries = readdirSync(root, {
    recursive: true,
    withFileTypes: true,
  }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => join(entry.parentPath, entry.name)).toSorted();
  return Object.fromEntries(
    paths.map((path) => [path.slice(root.length), `${statSync(path).mode.toString(8)} ${readFileSync(path, 'utf8')}`]),
  );
}
