import { describe, expect, test } from 'vitest';
import { choosePlatform, formatPlatform, parsePlatform } from '../../../src/oci/platform.ts';

describe('platforms', () => {
  test.each([
    ['linux/amd64', { os: 'linux', architecture: 'amd64' }],
    ['linux/arm/v7', { os: 'linux', architecture: 'arm', variant: 'v7' }],
    ['Linux/x86_64', { os: 'linux', architecture: 'amd64' }],
    ['linux/aarch64', { os: 'linux', architecture: 'arm64' }],
  ])('%s is read', (text, platform) => {
    expect(parsePlatform(text)).toEqual(platform);
    expect(parsePlatform(formatPlatform(platform))).toEqual(platform);
  });

  test.each(['', 'linux', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux/am d64', 'a'.repeat(65) + '/b'])(
    "'%s' is refused",
    (text) => {
      expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'ERR_REFERENCE_INVALID' }));
    },
  );

  test('the usual variant is meant where none is named, and any is better than none', () => {
    const offers = ['v6', 'v7', 'v8'].map((variant) => ({ platform: { os: 'linux', architecture: 'arm', variant } }));
    const wanted = { os: 'linux', architecture: 'arm' };
    expect(choosePlatform(offers, wanted)?.platform.variant).toBe('v7');
    expect(choosePlatform(offers.slice(0, 1), wanted)?.platform.variant).toBe('v6');
    expect(choosePlatform(offers, { ...wanted, variant: 'v5' })).toBeUndefined();
  });

  test('an image without a variant is of the usual one', () => {
    const offers = [{ platform: undefined }, { platform: { os: 'linux', architecture: 'arm64' } }];
    expect(choosePlatform(offers, { os: 'linux', architecture: 'arm64', variant: 'v8' })).toBe(offers[1]);
    expect(choosePlatform(offers, { os: 'windows', architecture: 'arm64' })).toBeUndefined();
  });
});
