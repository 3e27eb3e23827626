import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import {
  collectionTimerConfig,
  collectorConfig,
  contentConfig,
  facadeServerConfig,
  linkConfig,
  manifestConfig,
  minimumCopiesConfig,
  seedRegistryConfig,
  swarmConfig,
  transferConfig,
} from '../../../../node/composition/part-configs.ts';
import { planReload } from '../../../../node/composition/reload.ts';
import { startNode } from '../../../../node/composition/start-node.ts';
import { originConfig } from '../../../../node/composition/upstream-table.ts';
import { loadConfig } from '../../../../node/config/load.ts';
import type { NodeConfig } from '../../../../node/config/schema.ts';
import { makeFacts } from '../config/facts.ts';

function load(...flags: [string, string][]): NodeConfig {
  return loadConfig({ flags: flags.map(([flag, value]) => ({ flag, values: [value] })), facts: makeFacts() }).config;
}

describe('what only another kind of node does', () => {
  test.for([
    ['node', [['webhook', 'ci=https://ci.example.com/']], 'notifications.endpoints are for seeds'],
    [
      'node',
      [
        ['storage-driver', 's3'],
        ['storage-s3-bucket', 'images'],
      ],
      'storage.driver is for seeds',
    ],
    ['node', [['copies-minimum', 'v*=3']], 'copies.minimum is for seeds'],
    ['seed', [['push-to', 'docker.io']], 'push.to is for plain nodes'],
    ['node', [['replication-from', 'docker.io']], 'replication.from is for seeds'],
  ] as const)('a %s refuses %j', async ([role, flags, message]) => {
    const config = load(...flags.map(([flag, value]): [string, string] => [flag, value]));
    const log = pino({ level: 'silent' });
    await expect(startNode({ log, version: '0', role }, config)).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      message: expect.stringContaining(message),
    });
  });
});

describe('what parts are told', () => {
  test('no limit is 0 in the form of the transfer layer', () => {
    expect(transferConfig(load())).toMatchObject({ uploadRateBytesPerSecond: 0, downloadRateBytesPerSecond: 0 });
    expect(transferConfig(load(['transfer-upload-rate', '8mbit'])).uploadRateBytesPerSecond).toBe(1_000_000);
  });

  test('a node outside of any swarm listens for nobody', () => {
    expect(linkConfig(load(['swarm-enabled', 'false'])).listen).toEqual({ host: '127.0.0.1', port: 0 });
    expect(linkConfig(load()).listen).toEqual({ host: '127.0.0.1', port: 5003 });
  });

  test('the time to live of tags follows the configuration in force', () => {
    let config = load();
    const manifests = manifestConfig(() => config);
    expect(manifests.tagTtlMs).toBe(60_000);
    config = load(['tags-ttl', '0']);
    expect(manifests.tagTtlMs).toBe(0);
  });

  test('limits of store and server are passed on', () => {
    expect(contentConfig(load(['store-max-size', '0']))).toMatchObject({
      maxSizeBytes: 0,
      maxManifestBytes: 512 * 1024 ** 2,
    });
    expect(facadeServerConfig(load(['http-max-connections', '7']))).toMatchObject({
      maxConnections: 7,
      headersTimeoutMs: 15_000,
    });
    expect(swarmConfig(load(['swarm-announce', 'me.lan']), 6).announce).toEqual({ host: 'me.lan', port: 0 });
  });

  test('rules for garbage and tags are passed on', () => {
    expect(collectionTimerConfig(load())).toEqual({ intervalMs: 0 });
    expect(collectionTimerConfig(load(['gc-every', '6h']))).toEqual({ intervalMs: 21_600_000 });
    const config = load(
      ['gc-grace', '2h'],
      ['gc-untagged', 'true'],
      ['retention-keep-tags', 'v*'],
      ['retention-keep-newest', '5'],
      ['retention-keep-pushed-within', '7d'],
      ['retention-keep-pulled-within', '30d'],
    );
    expect(seedRegistryConfig(config).graceMs).toBe(7_200_000);
    expect(collectorConfig(config)).toEqual({
      graceMs: 7_200_000,
      untagged: true,
      retention: {
        keepTags: ['v*'],
        keepNewest: 5,
        keepPushedWithinMs: 604_800_000,
        keepPulledWithinMs: 2_592_000_000,
      },
    });
  });

  test('rules for copies are passed on', () => {
    expect(minimumCopiesConfig(load())).toEqual({ rules: [], intervalMs: 600_000 });
    const config = load(['copies-minimum', 'team/**:v*=3'], ['copies-every', '1m']);
    expect(minimumCopiesConfig(config)).toEqual({ rules: [{ pattern: 'team/**:v*', copies: 3 }], intervalMs: 60_000 });
  });

  test('upstreams are passed on with their limits', async () => {
    const { upstreams, proxy } = await originConfig(load(['upstream', 'a.io=http://a.io:5000'], ['proxy-none', 'x']));
    expect(upstreams[0]).toMatchObject({ name: 'a.io', url: 'http://a.io:5000', progressTimeoutMs: 10_000 });
    expect(proxy).toEqual({ httpProxy: '', httpsProxy: '', noProxy: 'x' });
  });
});

describe('reloading', () => {
  test('what can be changed is applied, the rest keeps its value and is named', () => {
    const before = load();
    const after = load(
      ['tags-ttl', '5s'],
      ['listen', '127.0.0.1:9'],
      ['log-level', 'debug'],
      ['upstream', 'a.io=http://a'],
    );
    const plan = planReload(before, after);
    expect(plan.applied).toEqual(['log.level', 'upstreams', 'tags.ttl']);
    expect(plan.waiting).toEqual(['listen']);
    expect(plan.config.listen).toEqual(before.listen);
    expect(plan.config.tags.ttlMs).toBe(5_000);
    expect(plan.config.upstreams).toEqual(after.upstreams);
  });

  test('the same configuration changes nothing', () => {
    expect(planReload(load(), load())).toMatchObject({ applied: [], waiting: [], config: load() });
  });
});
