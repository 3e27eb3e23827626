import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig, type LoadedConfig } from '../../../../node/config/load.ts';
import type { GivenFlag } from '../../../../node/config/texts.ts';
import { isDockyardError } from '../../../../src/oci/error.ts';
import { makeFacts } from './facts.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dockyard-config-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

interface Given {
  readonly yaml?: string;
  readonly environment?: Record<string, string>;
  readonly flags?: Record<string, string | string[]>;
  readonly isRoot?: boolean;
}

function load(given: Given = {}): LoadedConfig {
  const file = join(directory, 'dockyard.yaml');
  if (given.yaml !== undefined) writeFileSync(file, given.yaml);
  const flags: GivenFlag[] = Object.entries(given.flags ?? {}).map(([flag, value]) => ({
    flag,
    values: [value].flat(),
  }));
  return loadConfig({
    flags,
    file: given.yaml === undefined ? undefined : file,
    facts: makeFacts({ environment: given.environment ?? {}, isRoot: given.isRoot ?? false }),
  });
}

function problemsOf(given: Given): string {
  try {
    load(given);
  } catch (error) {
    if (isDockyardError(error, 'ERR_CONFIG_INVALID')) return error.message.replaceAll(`${directory}/`, '');
    throw error;
  }
  return '';
}

describe('defaults', () => {
  test('a node without any configuration is complete and reaches nobody', () => {
    const { config } = load();
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 5000 });
    expect(config.admin).toEqual({ host: '127.0.0.1', port: 5001 });
    expect(config.swarm.listen).toEqual({ host: '127.0.0.1', port: 5002 });
    expect(config.swarm.data).toEqual({ host: '127.0.0.1', port: 5003 });
    expect(config.data).toBe('/home/ada/.local/share/dockyard');
    expect(config.store.maxSizeBytes).toBe(50 * 1024 ** 3);
    expect(config.store.minFreeDiskBytes).toBe(10 * 1024 ** 3);
    expect(config.upstreams.map(({ name, url }) => [name, url])).toEqual([
      ['docker.io', 'https://registry-1.docker.io'],
    ]);
    expect(config.log.format).toBe('json');
  });

  test('root keeps its data under /var/lib, and XDG_DATA_HOME moves the data of others', () => {
    expect(load({ isRoot: true }).config.data).toBe('/var/lib/dockyard');
    expect(load({ environment: { XDG_DATA_HOME: '/data' } }).config.data).toBe('/data/dockyard');
  });

  test('with a swarm key the swarm listens on all addresses, and the data plane beside it', () => {
    const { config } = load({ flags: { 'swarm-key': 'swarm.key' } });
    expect(config.swarm.listen).toEqual({ host: '0.0.0.0', port: 5002 });
    expect(config.swarm.data).toEqual({ host: '0.0.0.0', port: 5003 });
    expect(config.swarm.key).toBe('/home/ada/work/swarm.key');
  });

  test('a swarm port that the system chooses makes it choose the data port as well', () => {
    expect(load({ flags: { swarm: '127.0.0.1:0' } }).config.swarm.data).toEqual({ host: '127.0.0.1', port: 0 });
  });
});

describe('order of sources', () => {
  const yaml = 'tags:\n  ttl: 10s\n';

  test('the file counts more than defaults, variables more than the file, flags more than variables', () => {
    const environment = { DOCKYARD_TAGS_TTL: '20s' };
    expect(load().config.tags.ttlMs).toBe(60_000);
    expect(load({ yaml }).config.tags.ttlMs).toBe(10_000);
    expect(load({ yaml, environment }).config.tags.ttlMs).toBe(20_000);
    expect(load({ yaml, environment, flags: { 'tags-ttl': '30s' } }).config.tags.ttlMs).toBe(30_000);
  });

  test('the first upstream of the source that counts most is the default', () => {
    const given: Given = {
      yaml: 'upstreams:\n  file.io: https://file.io\n  both.io: { url: https://one.both.io, username: u, password: p }\n',
      environment: { DOCKYARD_UPSTREAMS: 'env.io=https://env.io' },
      flags: { upstream: ['flag.io=http://flag.io:5000/', 'both.io=https://two.both.io'] },
    };
    const { upstreams } = load(given).config;
    expect(upstreams.map(({ name }) => name)).toEqual(['flag.io', 'both.io', 'env.io', 'file.io', 'docker.io']);
    expect(upstreams[0]?.url).toBe('http://flag.io:5000');
    expect(upstreams[1]).toMatchObject({ url: 'https://two.both.io', username: 'u', password: 'p' });
  });

  test('proxies come from the usual variables unless an option names them', () => {
    const environment = { HTTPS_PROXY: 'proxy:3128', no_proxy: 'localhost,.lan' };
    expect(load({ environment }).config.proxy).toEqual({
      http: undefined,
      https: 'http://proxy:3128',
      none: 'localhost,.lan',
    });
    expect(load({ environment, yaml: 'proxy:\n  https: http://other:1\n' }).config.proxy.https).toBe('http://other:1');
  });

  test('DOCKYARD_CONFIG names the file', () => {
    const file = join(directory, 'dockyard.yaml');
    writeFileSync(file, yaml);
    const facts = makeFacts({ environment: { DOCKYARD_CONFIG: file } });
    expect(loadConfig({ flags: [], facts }).config.tags.ttlMs).toBe(10_000);
  });
});

describe('values', () => {
  test('0 and Infinity are values in every source', () => {
    expect(load({ yaml: 'transfer: { uploadSlots: 0 }\ntags: { ttl: 0 }' }).config.transfer.uploadSlots).toBe(0);
    expect(load({ yaml: 'store: { maxSize: .inf }' }).config.store.maxSizeBytes).toBe(Infinity);
    expect(load({ environment: { DOCKYARD_TAGS_TTL: 'Infinity' } }).config.tags.ttlMs).toBe(Infinity);
    expect(load({ flags: { 'http-shutdown-grace': '0' } }).config.http.shutdownGraceMs).toBe(0);
  });

  test('text in YAML stays as it was written', () => {
    const { upstreams } = load({ yaml: 'upstreams: { a.io: { username: 0123, password: 1.50 } }' }).config;
    expect(upstreams[0]).toMatchObject({ username: '0123', password: '1.50' });
  });

  test('an empty variable counts as unset, and lists in variables have commas', () => {
    const environment = { DOCKYARD_LISTEN: '', DOCKYARD_SWARM_BOOTSTRAP: 'a:1, b:2' };
    const { config } = load({ environment });
    expect(config.listen.port).toBe(5000);
    expect(config.swarm.bootstrap).toEqual([
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ]);
  });

  test('relative paths start at the file that names them', () => {
    expect(load({ yaml: 'data: blobs' }).config.data).toBe(join(directory, 'blobs'));
    expect(load({ yaml: 'data: ~/blobs' }).config.data).toBe('/home/ada/blobs');
    expect(load({ flags: { data: 'blobs' } }).config.data).toBe('/home/ada/work/blobs');
  });

  test('anchors work, and groups whose lines are all commented out are empty', () => {
    const { config } = load({ yaml: 'store: &s { maxSize: 1GiB }\nswarm:\nlog: {}\n' });
    expect(config.store.maxSizeBytes).toBe(1024 ** 3);
  });

  test('variables that Kubernetes makes for a service are passed over', () => {
    const environment = {
      DOCKYARD_SERVICE_HOST: '10.0.0.1',
      DOCKYARD_PORT: 'tcp://10.0.0.1:5000',
      DOCKYARD_PORT_5000_TCP_ADDR: '10.0.0.1',
      DOCKYARD_ADMIN_SERVICE_PORT_HTTP: '5001',
    };
    expect(problemsOf({ environment })).toBe('');
  });
});

describe('problems', () => {
  test.each<[string, Given, string]>([
    [
      'a mistyped key',
      { yaml: 'listne: 127.0.0.1:1' },
      'dockyard.yaml:1: no such option: listne; did you mean listen?',
    ],
    [
      'a mistyped key of a group',
      { yaml: 'store:\n  # size\n  maxsize: 1GiB' },
      'dockyard.yaml:3: no such option: store.maxsize; did you mean store.maxSize?',
    ],
    ['a key in the wrong group', { yaml: 'ttl: 5s' }, 'dockyard.yaml:1: no such option: ttl; did you mean tags.ttl?'],
    [
      'a mistyped variable',
      { environment: { DOCKYARD_LISTN: 'x' } },
      'DOCKYARD_LISTN: no such option; did you mean DOCKYARD_LISTEN?',
    ],
    ['a bad address', { flags: { listen: '5000' } }, "--listen: listen cannot be '5000'; allowed: HOST:PORT"],
    [
      'a bare duration',
      { yaml: '\ntags:\n  ttl: 30' },
      "dockyard.yaml:3: tags.ttl cannot be '30'; allowed: a duration",
    ],
    [
      'a number out of bounds',
      { environment: { DOCKYARD_HTTP_MAX_CONNECTIONS: '0' } },
      'allowed: a whole number, or Infinity; at least 1',
    ],
    ['a list for one value', { yaml: 'listen: [a, b]' }, 'dockyard.yaml:1: listen needs one value'],
    ['no value', { yaml: 'listen:' }, 'dockyard.yaml:1: listen needs one value'],
    ['a value for a group', { yaml: 'swarm: yes' }, 'dockyard.yaml:1: swarm must be a map of options'],
    ['a file that is no map', { yaml: '- a' }, 'dockyard.yaml:1: the file must be a map of options'],
    ['broken YAML', { yaml: 'a: [1' }, 'dockyard.yaml:1: not valid YAML'],
    ['a key twice', { yaml: 'listen: a:1\nlisten: b:2' }, 'dockyard.yaml:2: not valid YAML: Map keys must be unique'],
    [
      'an upstream given twice as a flag',
      { flags: { upstream: ['a.io=https://a.io', 'b.io', 'a.io=https://b.io'] } },
      "--upstream: 'a.io' is given twice",
    ],
    [
      'an upstream given twice in a variable',
      { environment: { DOCKYARD_UPSTREAMS: 'a.io,a.io=https://b.io' } },
      "DOCKYARD_UPSTREAMS: 'a.io' is given twice",
    ],
    [
      'a name that is no host',
      { yaml: 'upstreams:\n  "a b": https://a' },
      "dockyard.yaml:2: 'a b' cannot be a name in upstreams",
    ],
    [
      'an upstream URL with a password',
      { flags: { upstream: 'a.io=https://u:p@a.io' } },
      'without user, query or fragment',
    ],
    [
      'an unknown option of an upstream',
      { yaml: 'upstreams: { a.io: { user: x } }' },
      'did you mean upstreams."a.io".',
    ],
    [
      'a swarm open by accident',
      { flags: { swarm: '0.0.0.0:5002' } },
      '--swarm: swarm.listen 0.0.0.0:5002 would let anyone in who can reach it',
    ],
    [
      'two servers at one address',
      { flags: { admin: '127.0.0.1:5000' } },
      '--admin: admin and listen cannot both listen',
    ],
    [
      'a username alone',
      { yaml: 'upstreams:\n  a.io:\n    username: x' },
      'dockyard.yaml:3: upstreams."a.io".username needs password or passwordFile beside it',
    ],
  ])('%s is refused with the place and what is allowed', (_, given, expected) => {
    expect(problemsOf(given)).toContain(expected);
  });

  test('all problems are told at once', () => {
    expect(problemsOf({ yaml: 'listen: x\nadmin: y', flags: { swarm: 'z' } }).split('\n')).toHaveLength(3);
  });

  test('a secret is never shown', () => {
    const problems = problemsOf({
      yaml: 'upstreams: { a.io: { token: "s3cret\\n" } }\nproxy: { https: "ftp://u:s3cret@p" }',
    });
    expect(problems.split('\n')).toHaveLength(2);
    expect(problems).not.toContain('s3cret');
  });

  test('a file that cannot be read is named', () => {
    expect(() => loadConfig({ flags: [], file: '/nowhere/x.yaml', facts: makeFacts() })).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG_UNREADABLE' }),
    );
  });
});
