import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { trackerConfig } from '../../../../node/composition/run-tracker.ts';
import { renderConfigurationDoc } from '../../../../node/config/document.ts';
import { loadConfig, loadTrackerConfig } from '../../../../node/config/load.ts';
import type { TrackerOptions } from '../../../../node/config/tracker-schema.ts';
import { flatOptions, TRACKER_OPTIONS } from '../../../../node/config/tree.ts';
import { makeFacts } from './facts.ts';

function load(flags: Record<string, string> = {}, environment: Record<string, string> = {}): TrackerOptions {
  const given = Object.entries(flags).map(([flag, value]) => ({ flag, values: [value] }));
  return loadTrackerConfig({ flags: given, facts: makeFacts({ environment }) }).config;
}

describe('the options of a tracker', () => {
  test('have defaults that suit one on its usual port', () => {
    expect(load()).toMatchObject({
      listen: { host: '0.0.0.0', port: 6969 },
      admin: { host: '127.0.0.1', port: 6970 },
      access: 'open',
      intervalMs: 120_000,
      peerTtlMs: 300_000,
    });
    expect(load().data).toMatch(/\/dockyard\/tracker-6969$/);
    expect(load({ listen: '127.0.0.1:0' })).toMatchObject({ admin: { host: '127.0.0.1', port: 0 }, data: undefined });
  });

  test('close it where something says what it serves', () => {
    expect(load({ 'swarm-key': '/k' }).access).toBe('closed');
    expect(load({ registered: '/r' }).access).toBe('closed');
    expect(load({ 'swarm-key': '/k', access: 'open' }).access).toBe('open');
    expect(() => load({ listen: '127.0.0.1:0', access: 'closed' })).toThrow(/a closed tracker needs --swarm-key FILE/);
  });

  test('contradict each other nowhere', () => {
    expect(() => load({ interval: '10m' })).toThrow(/peerTtl must be longer than interval/);
    expect(() => load({ listen: '127.0.0.1:7000', admin: '127.0.0.1:7000' })).toThrow(/cannot both listen on/);
  });

  test('come from variables of their own, which a node passes over', () => {
    const environment = { DOCKYARD_TRACKER_LISTEN: '127.0.0.1:7', DOCKYARD_LISTEN: '127.0.0.1:8' };
    expect(load({}, environment).listen.port).toBe(7);
    const node = loadConfig({ flags: [], facts: makeFacts({ environment }) });
    expect(node.config.listen.port).toBe(8);
    expect(() => load({}, { DOCKYARD_TRACKER_LISTNE: 'x' })).toThrow(/did you mean DOCKYARD_TRACKER_LISTEN\?/);
  });

  test('come from a file of their own', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dockyard-options-'));
    try {
      const file = join(folder, 'tracker.yaml');
      writeFileSync(file, 'listen: 127.0.0.1:7001\nswarmKey: swarm.key\n');
      const { config } = loadTrackerConfig({ flags: [], file, facts: makeFacts() });
      expect(config).toMatchObject({ listen: { port: 7001 }, swarmKey: join(folder, 'swarm.key'), access: 'closed' });
      writeFileSync(file, 'listne: 127.0.0.1:7001\n');
      expect(() => loadTrackerConfig({ flags: [], file, facts: makeFacts() })).toThrow(/did you mean listen\?/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('are each read, and each documented', () => {
    const seen = new Set<string>();
    const noting = new Proxy(load(), {
      get(target, key, receiver): unknown {
        seen.add(String(key).replace(/Ms$/, ''));
        return Reflect.get(target, key, receiver);
      },
    });
    trackerConfig(noting);
    // Read where the process starts: the log, the key that proofs are made of, how it tells of itself.
    const elsewhere = new Set(['swarmKey', 'log.level', 'log.format']);
    const text = renderConfigurationDoc().split('## The tracker\n')[1] ?? '';
    for (const { key, spec } of flatOptions(TRACKER_OPTIONS)) {
      expect(spec.summary, key).toMatch(/^[A-Z].*\.$/);
      expect(text).toContain(`### \`${key}\``);
      if (!elsewhere.has(key)) expect([...seen], key).toContain(key);
    }
  });
});
