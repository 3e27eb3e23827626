import { describe, expect, test } from 'vitest';
import { renderConfigurationDoc } from '../../../../node/config/document.ts';
import { CONFIG_TREE, flatOptions, optionAt } from '../../../../node/config/tree.ts';

describe('the schema', () => {
  const options = flatOptions();

  test('the document has a section for every option', () => {
    const text = renderConfigurationDoc();
    for (const { key, spec } of options)
      expect(text).toContain(spec.type === 'named' ? `## ${key}\n` : `### \`${key}\``);
  });

  test('no two options share a flag or a variable', () => {
    expect(new Set(options.map(({ flag }) => flag)).size).toBe(options.length);
    expect(new Set(options.map(({ variable }) => variable)).size).toBe(options.length);
  });

  test('the flags that do not change are there', () => {
    const flags = new Map(options.map(({ flag, key }) => [flag, key]));
    const fixed = ['data', 'listen', 'admin', 'swarm', 'swarm-key', 'bootstrap', 'tracker', 'upstream'];
    expect(fixed.map((flag) => flags.get(flag))).toEqual([
      'data',
      'listen',
      'admin',
      'swarm.listen',
      'swarm.key',
      'swarm.bootstrap',
      'swarm.tracker',
      'upstreams',
    ]);
  });

  test('every summary is one sentence', () => {
    for (const { spec, key } of options) expect(spec.summary, key).toMatch(/^[A-Z].*\.$/);
  });

  test('options are found by their path, those of upstreams under any name', () => {
    expect(optionAt(['store', 'maxSize'])?.type).toBe('option');
    expect(optionAt(['upstreams', 'ghcr.io', 'tokenHosts'])?.type).toBe('list');
    expect(optionAt(['upstreams', 'ghcr.io'])).toBe(CONFIG_TREE['upstreams']);
    expect(optionAt(['data', 'x'])).toBeUndefined();
    expect(optionAt(['toString'])).toBeUndefined();
  });
});
