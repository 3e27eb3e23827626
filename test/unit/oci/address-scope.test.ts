import { describe, expect, test } from 'vitest';
import { addressScope, literalAddress } from '../../../src/oci/address-scope.ts';

describe('the scope of an address', () => {
  test.each([
    ['8.8.8.8', 'public'],
    ['10.1.2.3', 'private'],
    ['172.31.255.255', 'private'],
    ['172.32.0.1', 'public'],
    ['192.168.1.1', 'private'],
    ['127.0.0.53', 'private'],
    ['0.0.0.0', 'private'],
    ['100.64.0.1', 'private'],
    ['169.254.169.254', 'link-local'],
    ['::1', 'private'],
    ['::', 'private'],
    ['fd00::1', 'private'],
    ['fe80::1%eth0', 'link-local'],
    ['2606:4700::1111', 'public'],
    ['::ffff:10.0.0.1', 'private'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['64:ff9b::a9fe:a9fe', 'link-local'],
    ['64:ff9b::808:808', 'public'],
    ['2002:a00:1::1', 'private'],
  ])('%s is %s', (address, scope) => {
    expect(addressScope(address)).toBe(scope);
  });

  test.each(['http://2130706433/', 'http://0x7f.1/', 'http://017700000001/', 'http://127.1/'])(
    'an address written as %s is seen for what it is',
    (url) => {
      expect(literalAddress(new URL(url))).toBe('127.0.0.1');
    },
  );
});
