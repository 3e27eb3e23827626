/** Options of a seed: its bucket, its webhooks, and the other seeds that it follows. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { notifyConfig } from '../../../../node/composition/notifications.ts';
import { replicationConfig } from '../../../../node/composition/part-configs.ts';
import { bucketConfig } from '../../../../node/composition/record-storage.ts';
import { effectiveYaml } from '../../../../node/config/effective.ts';
import { loadConfig, type LoadedConfig } from '../../../../node/config/load.ts';
import type { GivenFlag } from '../../../../node/config/texts.ts';
import { asError } from '../../../../src/oci/error.ts';
import { makeFacts } from './facts.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dockyard-config-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function load(yaml: string, flags: readonly GivenFlag[] = []): LoadedConfig {
  const file = join(directory, 'dockyard.yaml');
  writeFileSync(file, yaml);
  return loadConfig({ flags, file, facts: makeFacts() });
}

function problemOf(yaml: string): string {
  try {
    load(yaml);
  } catch (error) {
    return asError(error).message.replaceAll(`${directory}/`, '');
  }
  return '';
}

const HOOKS = `
notifications:
  endpoints:
    ci:
      url: https://ci.example.com/hooks?team=a
      headers: ['Authorization: Bearer abc', 'X-Team: one: two']
      secretFile: hook-secret
      backoff: 2m
      ignore: { actions: [pull, mount], mediaTypes: application/octet-stream }
    chat.lan: http://chat.lan/events
`;

describe('webhooks', () => {
  test('endpoints are read from the file, and by a flag alone', async () => {
    writeFileSync(join(directory, 'hook-secret'), 'first line\nsecond\n');
    const { config } = load(HOOKS, [{ flag: 'webhook', values: ['audit=https://audit.example.com/'] }]);
    const { endpoints, includeReferences } = await notifyConfig(config);
    expect(includeReferences).toBe(false);
    expect(endpoints.map(({ name, url }) => [name, url])).toEqual([
      ['audit', 'https://audit.example.com/'],
      ['ci', 'https://ci.example.com/hooks?team=a'],
      ['chat.lan', 'http://chat.lan/events'],
    ]);
    expect(endpoints[1]).toMatchObject({
      secret: 'first line',
      backoffMs: 120_000,
      threshold: 10,
      giveUpAfterMs: 86_400_000,
      headers: [
        { name: 'Authorization', value: 'Bearer abc' },
        { name: 'X-Team', value: 'one: two' },
      ],
      ignoredActions: ['pull', 'mount'],
      ignoredMediaTypes: ['application/octet-stream'],
      allowPrivate: false,
    });
  });

  test('their secrets are not shown', () => {
    const shown = effectiveYaml(load(HOOKS.replace('secretFile: hook-secret', 'secret: hunter2')));
    expect(shown).not.toMatch(/hunter2|Bearer/);
    expect(shown).toContain('secret: (hidden)');
    expect(shown).toContain('chat.lan:');
  });

  test.for([
    ['ci: { timeout: 1s }', 'notifications.endpoints.ci.url is missing'],
    ['ci: ftp://ci.example.com/', 'cannot be'],
    ["ci: { url: 'https://x/', headers: ['no colon'] }", 'allowed: a header'],
    ['ci: { url: \'https://x/\', headers: ["A: b\\r\\nC: d"] }', 'notifications.endpoints.ci.headers cannot be'],
    ["ci: { url: 'https://x/', ignore: { actions: [pulls] } }", 'allowed: push, pull, mount or delete'],
    ["ci: { url: 'https://x/', treshold: 3 }", 'did you mean notifications.endpoints.ci.threshold?'],
    ["'a b': https://x/", "'a b' cannot be a name in notifications.endpoints"],
    ["ci: { url: 'https://x/', secret: a, secretFile: b }", 'secret and secretFile cannot both be given'],
  ] as const)('%s is refused', ([endpoint, message]) => {
    expect(problemOf(`notifications:\n  endpoints:\n    ${endpoint}\n`)).toContain(
      message.replace('a list; each ', ''),
    );
  });

  test('a file that cannot be read, or says nothing, is named', async () => {
    const { config } = load(HOOKS);
    await expect(notifyConfig(config)).rejects.toMatchObject({ code: 'ERR_CONFIG_UNREADABLE' });
    writeFileSync(join(directory, 'hook-secret'), '\n');
    await expect(notifyConfig(config)).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringContaining('webhook endpoint ci'),
    });
  });
});

describe('a bucket', () => {
  test('is none without the driver', async () => {
    expect(await bucketConfig(load('storage: { s3: { bucket: images } }').config)).toBeUndefined();
  });

  test('is read with its keys, and its prefix ends in a slash', async () => {
    writeFileSync(join(directory, 'key'), 'hidden-key\n');
    const s3 =
      'bucket: images, prefix: a/b, endpoint: "https://s3.lan:9000/", pathStyle: true, accessKey: me, secretKeyFile: key, partSize: 16MiB';
    const { config } = load(`storage: { driver: s3, s3: { ${s3} } }`);
    expect(await bucketConfig(config)).toMatchObject({
      bucket: 'images',
      prefix: 'a/b/',
      endpoint: 'https://s3.lan:9000',
      pathStyle: true,
      credentials: { accessKeyId: 'me', secretAccessKey: 'hidden-key' },
      partSizeBytes: 16 * 1024 ** 2,
      caPem: undefined,
    });
  });

  test.for([
    ['driver: s3', 'storage.driver s3 needs storage.s3.bucket'],
    ['driver: s3, s3: { bucket: b, accessKey: me }', 'need each other'],
    ['driver: s3, s3: { bucket: b, accessKey: me, secretKey: a, secretKeyFile: b }', 'cannot both be given'],
    ['driver: s3, s3: { bucket: b, partSize: 1MiB }', 'from 5MiB to 1GiB'],
    ['driver: swift', 'allowed: filesystem or s3'],
  ] as const)('{ %s } is refused', ([storage, message]) => {
    expect(problemOf(`storage: { ${storage} }`)).toContain(message);
  });
});

describe('other seeds', () => {
  const upstreams = 'upstreams: { a.lan: "http://a", b.lan: { url: "http://b", stallTimeout: 2s } }';

  test('are asked to wait for less time than the most impatient upstream has', () => {
    const { config } = load(`{ ${upstreams}, replication: { from: [a.lan, b.lan], keepDeletions: 30d } }`);
    expect(replicationConfig(config)).toEqual({ waitMs: 1000, keepDeletionsMs: 30 * 86_400_000 });
  });

  test.for([
    ['replication: { from: [c.lan] }', "replication.from 'c.lan' is not an upstream of this node"],
    ['replication: { from: [a.lan, a.lan] }', "replication.from names 'a.lan' twice"],
    ['push: { to: [a.lan, c.lan] }', "push.to 'c.lan' is not an upstream of this node"],
    ['replication: { keepDeletions: 1h }', 'keepDeletions'],
  ] as const)('{ %s } is refused', ([text, message]) => {
    expect(problemOf(`{ ${upstreams}, ${text} }`)).toContain(message);
  });
});

describe('copies', () => {
  test.each(['v*', 'v*=1', 'v*=1001', '=3', 'v*=three', 'a b=3'])('%j is no rule', (rule) => {
    expect(problemOf(`copies: { minimum: ['${rule}'] }`)).toContain('a pattern of tags and a number of copies');
  });

  test('need a seed whose blobs other nodes can fetch', () => {
    const bucket = 'storage: { driver: s3, s3: { bucket: images } }';
    expect(problemOf(`copies: { minimum: ['v*=3'] }\n${bucket}\n`)).toContain(
      'copies.minimum needs storage.driver filesystem',
    );
  });
});
