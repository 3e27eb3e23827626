import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../src/oci/error.ts';
import { hostOfKey, parseDockerConfig, registryHosts } from '../../../src/origin/docker-config.ts';

const basic = (text: string): string => Buffer.from(text).toString('base64');

describe("Docker's config.json", () => {
  test('gives the credentials of Docker Hub under its old URL', () => {
    const config = parseDockerConfig(
      JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth: basic('me:pass:word') } } }),
    );
    const hosts = registryHosts({ name: 'docker.io', url: 'https://registry-1.docker.io' });
    expect(config.placesFor(hosts)).toEqual([
      { kind: 'inline', credentials: { kind: 'basic', username: 'me', password: 'pass:word' } },
    ]);
  });

  test('gives identity tokens and registry tokens', () => {
    const config = parseDockerConfig(
      JSON.stringify({
        auths: {
          'a.test': { auth: basic('me:'), identitytoken: 'refresh' },
          'b.test:5000': { registrytoken: 'access' },
        },
      }),
    );
    expect(config.placesFor(['a.test'])).toEqual([
      { kind: 'inline', credentials: { kind: 'identity-token', token: 'refresh' } },
    ]);
    expect(config.placesFor(['b.test:5000'])).toEqual([
      { kind: 'inline', credentials: { kind: 'bearer', token: 'access' } },
    ]);
  });

  test('prefers the helper of a registry, then the store, then what stands in the file', () => {
    const config = parseDockerConfig(
      JSON.stringify({
        auths: { 'a.test': { auth: basic('me:x') } },
        credsStore: 'desktop',
        credHelpers: { 'a.test': 'ecr-login' },
      }),
    );
    expect(config.placesFor(['a.test'])).toMatchObject([
      { kind: 'helper', helper: 'ecr-login', server: 'a.test' },
      { kind: 'helper', helper: 'desktop', server: 'a.test' },
      { kind: 'inline' },
    ]);
  });

  test('gives nothing for a registry that it does not name', () => {
    expect(parseDockerConfig('{"auths":{"a.test":{}}}').placesFor(['b.test', 'a.test'])).toEqual([]);
  });

  test.each([
    '',
    '[]',
    'null',
    '{"auths":[]}',
    '{"auths":{"a.test":{"auth":"!!!"}}}',
    '{"credHelpers":{"a.test":"../../bin/sh"}}',
  ])('of the content %j is refused by its code, not by a crash', (text) => {
    const act = (): unknown => parseDockerConfig(text).placesFor(['a.test']);
    expect(act).toThrow(expect.objectContaining({ code: 'ERR_CREDENTIALS_UNREADABLE' }));
  });

  test('of any JSON is read, or refused by its code', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), (text, inner) => {
        try {
          parseDockerConfig(text).placesFor(['a.test']);
          parseDockerConfig(`{"auths":{"a.test":${inner}},"credHelpers":{"a.test":${inner}}}`).placesFor(['a.test']);
        } catch (error) {
          expect(isDockyardError(error, 'ERR_CREDENTIALS_UNREADABLE')).toBe(true);
        }
      }),
    );
  });

  test.each([
    ['https://quay.io/v2/', 'quay.io'],
    ['http://host:5000', 'host:5000'],
    ['Host.Test', 'host.test'],
    ['quay.io/org', undefined],
    ['', undefined],
  ])('has the key %j for the host %j', (key, host) => {
    expect(hostOfKey(key)).toBe(host);
  });
});
