import { describe, expect, test } from 'vitest';
import { hostOf, limitKeyOf, packAddress, plainHost } from '../../../tracker/address.ts';

describe('an address', () => {
  test.each([
    ['10.0.0.1', 5002, '0a000001138a'],
    ['::', 1, '000000000000000000000000000000000001'],
    ['::1', 6969, '000000000000000000000000000000011b39'],
    ['2001:db8::5:0', 258, '20010db80000000000000000000500000102'],
    ['fe80::a:b:c:d', 1, 'fe80000000000000000a000b000c000d0001'],
    ['64:ff9b::192.0.2.33', 1, '0064ff9b0000000000000000c00002210001'],
  ])('%s:%i is packed as in compact answers', (host, port, packed) => {
    expect(packAddress(host, port)?.toString('hex')).toBe(packed);
  });

  test('is written out again', () => {
    expect(hostOf(packAddress('192.0.2.7', 1) ?? Buffer.alloc(0))).toBe('192.0.2.7');
    expect(hostOf(packAddress('2001:db8::1', 1) ?? Buffer.alloc(0))).toBe('2001:db8:0:0:0:0:0:1');
  });

  test('that is none is not packed', () => {
    expect(packAddress('', 1)).toBeUndefined();
    expect(packAddress('example.org', 1)).toBeUndefined();
  });

  test('loses the form of sockets of both families and the name of an interface', () => {
    expect(plainHost('::ffff:10.0.0.1')).toBe('10.0.0.1');
    expect(plainHost('fe80::1%eth0')).toBe('fe80::1');
  });

  test('shares its limits with the rest of its /64, and has none on this machine', () => {
    expect(limitKeyOf('2001:db8:1:2::1')).toBe(limitKeyOf('2001:db8:1:2:ffff::9'));
    expect(limitKeyOf('2001:db8:1:2::1')).not.toBe(limitKeyOf('2001:db8:1:3::1'));
    expect(limitKeyOf('10.0.0.1')).not.toBe(limitKeyOf('10.0.0.2'));
    expect([limitKeyOf('127.0.0.9'), limitKeyOf('::1')]).toEqual([undefined, undefined]);
  });
});
