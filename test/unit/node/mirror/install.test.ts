import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installMirror, removeMirror } from '../../../../node/mirror/install.ts';
import { MIRROR_CLIENTS, type MirrorRequest } from '../../../../node/mirror/plan.ts';
import { userScope } from '../../../../node/mirror/scope.ts';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dockyard-mirror-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const request: MirrorRequest = { url: 'http://127.0.0.1:5000', registries: [], setConfigPath: false };
const daemonJson = '/etc/docker/daemon.json';

function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  chmodSync(join(root, path), mode);
}

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Every file and folder under the root with its mode and content. */
function snapshot(): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const path = join(root, name);
      const facts = lstatSync(path);
      const content = facts.isFile()
        ? createHash('sha256').update(readFileSync(path)).digest('hex')
        : facts.isSymbolicLink()
          ? readlinkSync(path)
          : '';
      return `${name} ${facts.mode.toString(8)} ${content}`;
    });
}

function putOrdinaryFiles(): void {
  put(daemonJson, '{ "debug":true,\r\n"registry-mirrors" :[ "https://a" ] }', 0o640);
  put('/etc/docker/certs.d/ghcr.io/hosts.toml', 'server = "https://ghcr.io"\n[host."https://b"]\n', 0o600);
  put('/etc/containerd/config.toml', 'version = 2\n[plugins]\n');
  put('/etc/containerd/certs.d/_default/hosts.toml', '# no newline at the end');
  put('/etc/containers/registries.conf', 'unqualified-search-registries = ["docker.io"]\n');
}

describe.each(MIRROR_CLIENTS)('%s', (client) => {
  test.each([
    ['no files', () => undefined],
    ['ordinary files', putOrdinaryFiles],
  ])('with %s, removal restores every byte and mode', async (_, prepare) => {
    prepare();
    const before = snapshot();
    const registries = client === 'podman' ? ['docker.io', 'ghcr.io'] : ['_default', 'ghcr.io'];
    const outcome = await installMirror(client, root, { ...request, registries, setConfigPath: true });
    expect(outcome.changed.length).toBeGreaterThan(0);
    expect(snapshot()).not.toEqual(before);
    await removeMirror(client, root, { force: false });
    expect(snapshot()).toEqual(before);
  });

  test('installing again changes nothing, and registries given later come in addition', async () => {
    await installMirror(client, root, request);
    const once = snapshot();
    const again = await installMirror(client, root, request);
    expect(again.changed).toEqual([]);
    expect(snapshot()).toEqual(once);
    await installMirror(client, root, { ...request, registries: ['ghcr.io'] });
    await installMirror(client, root, { ...request, registries: ['quay.io'] });
    await removeMirror(client, root, { force: false });
    expect(snapshot()).toEqual([]);
  });

  test('another URL takes the place of the first', async () => {
    await installMirror(client, root, request);
    const { changed } = await installMirror(client, root, { ...request, url: 'http://127.0.0.1:7777' });
    expect(changed.length).toBeGreaterThan(0);
    for (const path of changed) {
      expect(readFileSync(path, 'utf8')).toContain('127.0.0.1:7777');
      expect(readFileSync(path, 'utf8')).not.toContain('127.0.0.1:5000');
    }
    await removeMirror(client, root, { force: false });
    expect(snapshot()).toEqual([]);
  });

  test('removing what was never installed is no error', async () => {
    expect(await removeMirror(client, root, { force: false })).toBeUndefined();
  });

  test.each(['../../etc', 'a/b', '', 'HTTP://x', '.'])('%j is no registry', async (registry) => {
    await expect(installMirror(client, root, { ...request, registries: [registry] })).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
    expect(snapshot()).toEqual([]);
  });
});

describe('files that others change afterwards', () => {
  test('are not touched without --force, and nothing else is', async () => {
    putOrdinaryFiles();
    await installMirror('docker', root, request);
    put(daemonJson, read(daemonJson).replace('true', 'false'));
    const changed = snapshot();
    await expect(removeMirror('docker', root, { force: false })).rejects.toMatchObject({ code: 'ERR_MIRROR_CHANGED' });
    expect(snapshot()).toEqual(changed);
  });

  test('lose our part alone with --force', async () => {
    putOrdinaryFiles();
    await installMirror('docker', root, { ...request, registries: ['_default', 'ghcr.io'] });
    put(daemonJson, read(daemonJson).replace('true', 'false'));
    const hosts = '/etc/docker/certs.d/ghcr.io/hosts.toml';
    put(hosts, `${read(hosts)}# more\n`);
    await removeMirror('docker', root, { force: true });
    expect(JSON.parse(read(daemonJson))).toEqual({ debug: false, 'registry-mirrors': ['https://a'] });
    expect(read(hosts)).toBe('server = "https://ghcr.io"\n[host."https://b"]\n# more\n');
  });

  test('keep their changes when the mirror is installed again', async () => {
    await installMirror('docker', root, request);
    put(daemonJson, '{ "debug": true, "registry-mirrors": ["http://127.0.0.1:5000"] }');
    await installMirror('docker', root, { ...request, url: 'http://127.0.0.1:6000' });
    expect(JSON.parse(read(daemonJson))).toEqual({ debug: true, 'registry-mirrors': ['http://127.0.0.1:6000'] });
    await removeMirror('docker', root, { force: false });
    expect(JSON.parse(read(daemonJson))).toEqual({ debug: true });
  });
});

describe('clients that a user runs without root', () => {
  const ada = userScope({ environment: {}, homeDirectory: '/home/ada' });

  test.each([
    ['containerd', '/home/ada/.config/containerd/certs.d/_default/hosts.toml'],
    ['docker', '/home/ada/.config/docker/daemon.json'],
    ['podman', '/home/ada/.config/containers/registries.conf.d/50-dockyard.conf'],
  ] as const)('%s is pointed at the node in %s, and back byte for byte', async (client, path) => {
    put('/home/ada/.config/docker/daemon.json', '{ "debug":true }', 0o600);
    put('/home/ada/.config/containerd/config.toml', 'version = 2\n[plugins]\n');
    const before = snapshot();
    const asked = { ...request, setConfigPath: true };
    const { changed } = await installMirror(client, root, asked, ada);
    expect(changed).toContain(join(root, path));
    expect(changed.filter((name) => !name.startsWith(join(root, '/home/ada/.config/')))).toEqual([]);
    expect(existsSync(join(root, '/home/ada/.local/share/dockyard/mirror', `${client}.json`))).toBe(true);
    const once = snapshot();
    expect((await installMirror(client, root, asked, ada)).changed).toEqual([]);
    expect(snapshot()).toEqual(once);
    await removeMirror(client, root, { force: false }, ada);
    expect(snapshot()).toEqual(before);
  });

  test('have folders of their own where the environment says so', async () => {
    const environment = { XDG_CONFIG_HOME: '/srv/config', XDG_DATA_HOME: '/srv/data' };
    const elsewhere = userScope({ environment, homeDirectory: '/home/ada' });
    await installMirror('docker', root, request, elsewhere);
    expect(existsSync(join(root, '/srv/config/docker/daemon.json'))).toBe(true);
    expect(existsSync(join(root, '/srv/data/dockyard/mirror/docker.json'))).toBe(true);
    await removeMirror('docker', root, { force: false }, elsewhere);
    expect(snapshot()).toEqual([]);
  });

  test('are apart from those of the system', async () => {
    await installMirror('docker', root, request);
    const system = snapshot();
    await installMirror('docker', root, request, ada);
    await removeMirror('docker', root, { force: false }, ada);
    expect(snapshot()).toEqual(system.filter((line) => !line.startsWith('home')));
    await removeMirror('docker', root, { force: false });
    expect(snapshot()).toEqual([]);
  });

  test('config_path of containerd names the folder of the user', async () => {
    await installMirror('containerd', root, { ...request, setConfigPath: true }, ada);
    expect(read('/home/ada/.config/containerd/config.toml')).toContain(
      'config_path = "/home/ada/.config/containerd/certs.d"',
    );
  });

  test('for Podman, what the system says of a registry is carried over, unless the user has a file of their own', async () => {
    put('/etc/containers/registries.conf.d/a.conf', '[[registry]]\nprefix = "docker.io"\nlocation = "system.lan"\n');
    const dropIn = '/home/ada/.config/containers/registries.conf.d/50-dockyard.conf';
    await installMirror('podman', root, request, ada);
    expect(read(dropIn)).toContain('system.lan');
    put('/home/ada/.config/containers/registries.conf', '[[registry]]\nprefix = "docker.io"\nlocation = "own.lan"\n');
    await installMirror('podman', root, request, ada);
    expect(read(dropIn)).toContain('own.lan');
    expect(read(dropIn)).not.toContain('system.lan');
    expect(read(dropIn)).toContain('dockyard mirror remove podman --user');
  });
});

test.each([
  [['docker', 'containerd', 'podman']],
  [['podman', 'containerd', 'docker']],
  [['containerd', 'podman', 'docker']],
] as const)('removing the clients in the order %j leaves no folder behind', async (order) => {
  for (const client of MIRROR_CLIENTS) await installMirror(client, root, request);
  for (const client of order) await removeMirror(client, root, { force: false });
  expect(snapshot()).toEqual([]);
});

test('a folder that cannot be made ends with an error', async () => {
  await expect(installMirror('docker', '/proc', request)).rejects.toMatchObject({ code: 'ERR_MIRROR_ACCESS' });
});

test('a link stays a link, and the file behind it is restored', async () => {
  put('/srv/daemon.json', '{}\n');
  mkdirSync(join(root, 'etc/docker'), { recursive: true });
  symlinkSync('../../srv/daemon.json', join(root, daemonJson));
  const before = snapshot();
  await installMirror('docker', root, request);
  expect(read('/srv/daemon.json')).toContain('registry-mirrors');
  await removeMirror('docker', root, { force: false });
  expect(snapshot()).toEqual(before);
});

test('a broken file is refused before anything is changed', async () => {
  put(daemonJson, '{');
  const before = snapshot();
  await expect(installMirror('docker', root, request)).rejects.toMatchObject({ code: 'ERR_MIRROR_UNEDITABLE' });
  expect(snapshot()).toEqual(before);
});

test('hosts.toml goes where config_path says, and what it does not cover is named', async () => {
  put(
    '/etc/containerd/config.toml',
    'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/hosts.d"\n',
  );
  put('/etc/hosts.d/r.lan/hosts.toml', 'server = "https://r.lan"\n');
  const outcome = await installMirror('containerd', root, request);
  expect(existsSync(join(root, '/etc/hosts.d/_default/hosts.toml'))).toBe(true);
  expect(outcome.notes.join()).toContain('--registry r.lan');
});

test('a damaged record is named and nothing is touched', async () => {
  await installMirror('podman', root, request);
  put('/var/lib/dockyard/mirror/podman.json', '{}');
  await expect(removeMirror('podman', root, { force: true })).rejects.toMatchObject({ code: 'ERR_MIRROR_STATE' });
});
