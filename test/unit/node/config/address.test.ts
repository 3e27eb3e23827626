import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatHostPort, isLoopbackHost, parseHostPort } from '../../../../node/config/address.ts';

test.each([
  ['127.0.0.1:5000', { host: '127.0.0.1', port: 5000 }],
  ['[::1]:5000', { host: '::1', port: 5000 }],
  ['node-1.lan:0', { host: 'node-1.lan', port: 0 }],
])('%s is an address', (text, expected) => {
  expect(parseHostPort(text)).toEqual(expected);
});

test.each([
  '5000',
  ':5000',
  '127.0.0.1',
  '::1:5000',
  '[::1]',
  '1.2.3:5',
  '300.1.1.1:5',
  'a b:5',
  'a:65536',
  'a:-1',
  'user@a:5',
  '[a]:5',
])('%j is no address', (text) => {
  expect(parseHostPort(text)).toBeUndefined();
});

test('addresses are read back as they are formatted', () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
  fc.assert(
    fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
      expect(parseHostPort(formatHostPort({ host: name, port }))).toEqual({ host: name, port });
    }),
  );
});

test('only addresses of this machine are loopback', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost', '::ffff:127.0.0.1'].every(isLoopbackHost)).toBe(true);
  expect(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'node.lan', '127.example.org'].some(isLoopbackHost)).toBe(false);
});
