import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addRegistryMirror, listRegistryMirrors, removeRegistryMirror } from '../../../../node/mirror/daemon-json.ts';

const url = 'http://127.0.0.1:5000';
const path = '/etc/docker/daemon.json';

describe('adding a mirror', () => {
  test('a new file holds the mirror alone', () => {
    expect(JSON.parse(addRegistryMirror(undefined, path, url))).toEqual({ 'registry-mirrors': [url] });
  });

  test('what stood there keeps its layout', () => {
    const text = '{\n\t"debug":   true,\n\t"hosts": [ "unix:///x" ]\n}\n';
    expect(addRegistryMirror(text, path, url)).toBe(
      '{\n\t"registry-mirrors": ["http://127.0.0.1:5000"],\n\t"debug":   true,\n\t"hosts": [ "unix:///x" ]\n}\n',
    );
  });

  test('other mirrors come after the node', () => {
    const text = '{\n  "registry-mirrors": [\n    "https://a"\n  ]\n}';
    expect(addRegistryMirror(text, path, url)).toBe(
      '{\n  "registry-mirrors": [\n    "http://127.0.0.1:5000",\n    "https://a"\n  ]\n}',
    );
  });

  test('a mirror that is there already, with or without a slash, is not added again', () => {
    const text = '{"registry-mirrors":["https://a","http://127.0.0.1:5000/"]}';
    expect(addRegistryMirror(text, path, url)).toBe(text);
  });

  test.each(['{', '[]', '"x"', '{"registry-mirrors": "http://a"}', '{"registry-mirrors": [1]}', '// c\n{}'])(
    '%j is refused',
    (text) => {
      expect(() => addRegistryMirror(text, path, url)).toThrow(
        expect.objectContaining({ code: 'ERR_MIRROR_UNEDITABLE' }),
      );
    },
  );
});

describe('any file', () => {
  const others = fc.dictionary(
    fc.constantFrom('debug', 'hosts', 'a"b', 'labels', 'log-opts'),
    fc.oneof(fc.boolean(), fc.string(), fc.array(fc.constantFrom('x', '"registry-mirrors": [', url, '{'))),
  );
  const mirrors = fc.option(fc.uniqueArray(fc.constantFrom('https://a', 'https://b/x', 'http://c')), {
    nil: undefined,
  });
  const file = fc
    .record({ others, mirrors, indent: fc.constantFrom(0, 2, 4, '\t') })
    .map(({ others: rest, mirrors: list, indent }) => {
      const object = list === undefined ? rest : { ...rest, 'registry-mirrors': list };
      return { object, text: JSON.stringify(object, undefined, indent) };
    });

  test('gains the mirror first and keeps everything else', () => {
    fc.assert(
      fc.property(file, ({ object, text }) => {
        const before = listRegistryMirrors(text, path);
        expect(JSON.parse(addRegistryMirror(text, path, url))).toEqual({
          ...object,
          'registry-mirrors': [url, ...before],
        });
      }),
    );
  });

  test('loses the mirror again and keeps everything else', () => {
    fc.assert(
      fc.property(file, ({ object, text }) => {
        const { 'registry-mirrors': list, ...rest } = object as Record<string, unknown>;
        const expected = Array.isArray(list) && list.length > 0 ? object : rest;
        expect(JSON.parse(removeRegistryMirror(addRegistryMirror(text, path, url), path, url))).toEqual(expected);
      }),
    );
  });
});
