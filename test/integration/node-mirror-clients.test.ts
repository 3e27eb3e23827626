/** Real clients read what `mirror install` writes: each asks the node first. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installMirror, removeMirror } from '../../node/mirror/install.ts';
import { userScope } from '../../node/mirror/scope.ts';
import type { MirrorRequest } from '../../node/mirror/plan.ts';
import { requirement } from '../skip-reasons.ts';
import { requireContainerd } from '../support/containerd-process.ts';
import { requireDockerd } from '../support/dockerd-process.ts';
import { isInstalled, until } from '../support/programs.ts';

const isRoot = process.getuid?.() === 0;
const hasContainerd = requireContainerd();
const hasSkopeo = requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo');
const hasPodman = requirement('podman', isInstalled('podman') && isRoot, 'apt-get install podman, and run as root');
const hasDockerd = requireDockerd();

let root = '';
let node: Server;
let request: MirrorRequest;
let seen: string[] = [];
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'dockyard-clients-'));
  seen = [];
  node = createServer((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url}`);
    const isPing = incoming.url?.split('?')[0] === '/v2/';
    response.writeHead(isPing ? 200 : 404, { 'content-type': 'application/json' });
    response.end(isPing ? '{}' : '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}');
  }).listen(0, '127.0.0.1');
  await once(node, 'listening');
  request = { url: `http://127.0.0.1:${(node.address() as AddressInfo).port}`, registries: [], setConfigPath: false };
});
afterEach(() => {
  node.closeAllConnections();
  node.close();
  rmSync(root, { recursive: true, force: true });
});

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** Runs a client, which may fail: there is nothing to pull. */
function run(program: string, args: readonly string[], environment: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { env: { ...process.env, ...environment }, timeout: 30_000 }, (_error, out, err) =>
      resolve(out + err),
    );
  });
}

/** Runs a daemon while `work` runs. */
async function withDaemon(
  program: string,
  args: readonly string[],
  socket: string,
  work: () => Promise<void>,
): Promise<void> {
  const daemon = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  daemon.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(daemon, 'close');
  try {
    await until(`${program} listens`, () => {
      if (daemon.exitCode !== null) throw new Error(`${program} ended: ${log}`);
      return existsSync(socket) ? true : undefined;
    });
    await work();
  } finally {
    daemon.kill('SIGTERM');
    await ended;
  }
}

describe.skipIf(!hasContainerd)('containerd', () => {
  test.each([
    ['with _default alone', [], '_default'],
    ['with a folder for the registry', ['r.invalid'], 'r.invalid'],
  ])('%s asks the node first and tells the registry by ns', async (_, registries, folder) => {
    await installMirror('containerd', root, { ...request, registries });
    const certs = join(root, 'etc/containerd/certs.d');
    expect(existsSync(join(certs, folder, 'hosts.toml'))).toBe(true);
    const config = join(root, 'containerd.toml');
    const socket = join(root, 'containerd.sock');
    writeFileSync(
      config,
      `version = 2\nroot = "${root}/root"\nstate = "${root}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n`,
    );
    await withDaemon('containerd', ['--config', config], socket, async () => {
      await run('ctr', ['-a', socket, 'images', 'pull', '--hosts-dir', certs, 'r.invalid/lib/x:v1']);
    });
    expect(seen[0]).toBe('HEAD /v2/lib/x/manifests/v1?ns=r.invalid');
  });

  test('hosts that were there are asked after the node', async () => {
    const other = createServer((incoming, response) => {
      seen.push(`other ${incoming.method} ${incoming.url}`);
      response.writeHead(404).end();
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    put(
      '/etc/containerd/certs.d/r.invalid/hosts.toml',
      `server = "http://r.invalid"\n\n# ours\n[host."${otherUrl}"]\n  capabilities = ["pull", "resolve"]\n`,
    );
    await installMirror('containerd', root, { ...request, registries: ['r.invalid'] });
    const config = join(root, 'containerd.toml');
    const socket = join(root, 'containerd.sock');
    writeFileSync(
      config,
      `version = 2\nroot = "${root}/root"\nstate = "${root}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "${socket}"\n`,
    );
    await withDaemon('containerd', ['--config', config], socket, async () => {
      await run('ctr', [
        '-a',
        socket,
        'images',
        'pull',
        '--hosts-dir',
        join(root, 'etc/containerd/certs.d'),
        'r.invalid/lib/x:v1',
      ]);
    });
    other.closeAllConnections();
    other.close();
    const fromOther = seen.findIndex((line) => line.startsWith('other HEAD /v2/lib/x/manifests/v1'));
    expect(seen.indexOf('HEAD /v2/lib/x/manifests/v1?ns=r.invalid')).toBe(0);
    expect(fromOther).toBeGreaterThan(0);
  });

  test.each([
    ['without a file', undefined],
    [
      'with the file of Debian',
      'version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni"\n',
    ],
  ])('%s, containerd itself reads the config_path that was set', async (_, text) => {
    if (text !== undefined) put('/etc/containerd/config.toml', text);
    await installMirror('containerd', root, { ...request, setConfigPath: true });
    const dumped = await run('containerd', ['--config', join(root, 'etc/containerd/config.toml'), 'config', 'dump']);
    expect(dumped).toMatch(/config_path = "\/etc\/containerd\/certs\.d"/);
  });
});

describe.each([
  ['skopeo', hasSkopeo, ['inspect', 'docker://r.invalid/lib/x:v1']],
  ['podman', hasPodman, ['pull', '--quiet', 'r.invalid/lib/x:v1']],
] as const)('%s', (program, isThere, args) => {
  test.skipIf(!isThere)('asks the node first, with the registry in the path', async () => {
    await installMirror('podman', root, { ...request, registries: ['r.invalid'] });
    const dropIn = join(root, 'etc/containers/registries.conf.d/50-dockyard.conf');
    const places =
      program === 'skopeo'
        ? ['--registries-conf', dropIn]
        : ['--root', join(root, 'storage'), '--runroot', join(root, 'run'), '--storage-driver', 'vfs'];
    await run(program, [...places, ...args], { CONTAINERS_REGISTRIES_CONF: dropIn });
    expect(seen.filter((line) => !line.endsWith(' /v2/'))[0]).toBe('GET /v2/r.invalid/lib/x/manifests/v1');
  });
});

describe.each([
  ['skopeo', hasSkopeo, ['inspect', 'docker://r.invalid/lib/x:v1']],
  ['podman', hasPodman, ['pull', '--quiet', 'r.invalid/lib/x:v1']],
] as const)('%s of a user', (program, isThere, args) => {
  test.skipIf(!isThere)('asks the node first', async () => {
    const scope = userScope({ environment: {}, homeDirectory: root });
    await installMirror('podman', '/', { ...request, registries: ['r.invalid'] }, scope);
    const storage = ['--root', join(root, 'storage'), '--runroot', join(root, 'run'), '--storage-driver', 'vfs'];
    await run(program, [...(program === 'podman' ? storage : []), ...args], { HOME: root });
    expect(seen.filter((line) => !line.endsWith(' /v2/'))[0]).toBe('GET /v2/r.invalid/lib/x/manifests/v1');
    await removeMirror('podman', '/', { force: false }, scope);
    expect(existsSync(join(root, '.config/containers/registries.conf.d/50-dockyard.conf'))).toBe(false);
  });
});

describe.skipIf(!hasDockerd)('dockerd', () => {
  test('starts with the merged daemon.json and asks the node for images of Docker Hub', async () => {
    put('/etc/docker/daemon.json', '{\n  "debug": true,\n  "registry-mirrors": [ "https://mirror.invalid" ]\n}\n');
    await installMirror('docker', root, request);
    const config = join(root, 'etc/docker/daemon.json');
    const socket = join(root, 'docker.sock');
    const folders = [
      '--data-root',
      join(root, 'docker'),
      '--exec-root',
      join(root, 'exec'),
      '--pidfile',
      join(root, 'docker.pid'),
    ];
    const plain = ['--bridge=none', '--iptables=false', '--ip-forward=false', '--storage-driver=vfs'];
    await withDaemon(
      'dockerd',
      ['--config-file', config, '-H', `unix://${socket}`, ...folders, ...plain],
      socket,
      async () => {
        const mirrors = await until('dockerd answers', async () => {
          const text = await run('docker', [
            '-H',
            `unix://${socket}`,
            'info',
            '--format',
            '{{json .RegistryConfig.Mirrors}}',
          ]);
          return text.startsWith('[') ? text : undefined;
        });
        expect(JSON.parse(mirrors)).toEqual([`${request.url}/`, 'https://mirror.invalid/']);
        await run('docker', ['-H', `unix://${socket}`, 'pull', 'library/nothing:v1']);
      },
    );
    expect(seen).toContain('HEAD /v2/library/nothing/manifests/v1');
    expect(readFileSync(config, 'utf8')).toContain('"debug": true');
  });
});
