import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../src/oci/error.ts';
import {
  announcedHosts,
  formatSocketAddress,
  isLoopback,
  parseSocketAddress,
} from '../../../src/swarm/socket-address.ts';

describe('an address', () => {
  test('is read back from the text it is written as', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
        expect(parseSocketAddress(formatSocketAddress({ host: name, port }))).toEqual({ host: name, port });
      }),
    );
  });

  test.each([
    '',
    ':',
    'host',
    'host:',
    ':5000',
    '1.2.3:5',
    'a b:1',
    'host:65536',
    '::1:5000',
    '[::1]',
    '[host]:1',
    'http://host:1',
    '-a:1',
    '1.2.3.4.5:1',
  ])('%j is refused', (text) => {
    expect(() => parseSocketAddress(text)).toThrow(/HOST:PORT/);
  });

  test('of any text is either read or refused by code', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const { host, port } = parseSocketAddress(text);
          expect(host.length).toBeGreaterThan(0);
          expect(port).toBeLessThanOrEqual(65_535);
        } catch (error) {
          expect(isDockyardError(error, 'ERR_SWARM_ADDRESS_INVALID')).toBe(true);
        }
      }),
    );
  });
});

describe('announced hosts', () => {
  const info = (address: string, internal = false, family: 'IPv4' | 'IPv6' = 'IPv4') =>
    ({ address, family, internal, netmask: '', mac: '', cidr: null, scopeid: 0 }) as never;
  const interfaces = {
    lo: [info('127.0.0.1', true)],
    docker0: [info('172.17.0.1')],
    eth0: [info('10.0.0.7'), info('fe80::1', false, 'IPv6'), info('2001:db8::7', false, 'IPv6')],
  };

  test('of a listener on one address are that address', () => {
    expect(announcedHosts('10.0.0.7', interfaces)).toEqual(['10.0.0.7']);
    expect(announcedHosts('localhost', interfaces)).toEqual(['127.0.0.1']);
  });

  test('of a listener on all addresses are those of real interfaces first, without loopback and link-local', () => {
    expect(announcedHosts('0.0.0.0', interfaces)).toEqual(['10.0.0.7', '172.17.0.1']);
    expect(announcedHosts('::', interfaces)).toEqual(['10.0.0.7', '2001:db8::7', '172.17.0.1']);
  });

  test('of a machine without any network are loopback', () => {
    expect(announcedHosts('0.0.0.0', { lo: [info('127.0.0.1', true)] })).toEqual(['127.0.0.1']);
  });

  test('know loopback', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '::', '10.0.0.1', 'host', '127.example.org'].some(isLoopback)).toBe(false);
  });
});
