import { describe, expect, test } from 'vitest';
import { isAcName, missingLabel, parseAcName, parseLabels } from '../../../src/appc/values/ac-name.ts';
import { formatAppReference, parseAppReference } from '../../../src/appc/values/app-reference.ts';
import { parseImageId } from '../../../src/appc/values/image-id.ts';

describe('names', () => {
  test.each(['a', 'example.com/app', 'example.com/a-b_c~d/e.f', '127.0.0.1/app', `a${'/b'.repeat(127)}`])(
    '%s is one',
    (text) => {
      expect(parseAcName(text)).toBe(text);
    },
  );

  test.each([
    '',
    'Example.com/app',
    'example.com/',
    '/example.com',
    'example.com//app',
    'example.com/../app',
    'example.com/%2e%2e',
    'example.com:5000/app',
    'user@example.com/app',
    'example.com/a b',
    'example.com/app\0',
    'example.com/app\n',
    `a${'/b'.repeat(128)}`,
  ])('%j is none', (text) => {
    expect(isAcName(text)).toBe(false);
    expect(() => parseAcName(text)).toThrow(expect.objectContaining({ code: 'ERR_AC_NAME_INVALID' }));
  });

  test('a long one is tried in no time', () => {
    const began = performance.now();
    expect(isAcName(`${'a-'.repeat(127)}!`)).toBe(false);
    expect(performance.now() - began).toBeLessThan(100);
  });
});

describe('references', () => {
  test.each([
    ['example.com/app', {}],
    ['example.com/app:1.0', { version: '1.0' }],
    ['example.com/app:1.0,os=linux,arch=amd64', { version: '1.0', os: 'linux', arch: 'amd64' }],
    ['example.com/app,os=linux', { os: 'linux' }],
    ['example.com/app:1.0+git=2', { version: '1.0+git=2' }],
  ])('%s', (text, labels) => {
    const reference = parseAppReference(text);
    expect(reference.name).toBe('example.com/app');
    expect(Object.fromEntries(reference.labels)).toEqual(labels);
    expect(parseAppReference(formatAppReference(reference))).toEqual(reference);
  });

  test.each([
    '',
    ':1.0',
    'example.com/app:',
    'example.com/app,os',
    'example.com/app,=linux',
    'example.com/app:1,version=2',
    'example.com/app,name=other',
    'example.com/app,os=linux,os=linux',
    'example.com/app:1\r\nX-Evil: 1',
    `example.com/app:${'1'.repeat(5000)}`,
  ])('%j is none', (text) => {
    expect(() => parseAppReference(text)).toThrow(expect.objectContaining({ code: 'ERR_AC_NAME_INVALID' }));
  });
});

test('what was asked for must be there, what is there besides is no matter', () => {
  const found = parseLabels([
    ['version', '1.0'],
    ['os', 'linux'],
  ]);
  expect(missingLabel(parseLabels([['os', 'linux']]), found)).toBeUndefined();
  expect(missingLabel(parseLabels([['arch', 'amd64']]), found)).toBe('arch');
  expect(missingLabel(parseLabels([['version', '2.0']]), found)).toBe('version');
});

test.each(['', 'sha512-abc', `sha256-${'a'.repeat(64)}`, `sha512-${'A'.repeat(128)}`, `sha512:${'a'.repeat(128)}`])(
  '%s is no image ID',
  (text) => {
    expect(() => parseImageId(text)).toThrow(expect.objectContaining({ code: 'ERR_AC_NAME_INVALID' }));
  },
);
