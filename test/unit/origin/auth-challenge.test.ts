import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAuthChallenges } from '../../../src/origin/auth-challenge.ts';

describe('a WWW-Authenticate header', () => {
  test('of Docker Hub is read', () => {
    const header =
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push"';
    expect(parseAuthChallenges([header])).toEqual([
      {
        scheme: 'bearer',
        parameters: {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:library/alpine:pull,push',
        },
      },
    ]);
  });

  test('may hold several challenges', () => {
    const challenges = parseAuthChallenges([
      'Negotiate, Basic realm="a \\"b\\"", Bearer realm=https://x/t , service=s',
    ]);
    expect(challenges).toEqual([
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'basic', parameters: { realm: 'a "b"' } },
      { scheme: 'bearer', parameters: { realm: 'https://x/t', service: 's' } },
    ]);
  });

  test('that stands twice is read in order', () => {
    expect(parseAuthChallenges(['Basic realm="x"', 'Bearer realm="y"']).map(({ scheme }) => scheme)).toEqual([
      'basic',
      'bearer',
    ]);
  });

  test('with a doubled parameter keeps the first', () => {
    expect(parseAuthChallenges(['Bearer realm="good", realm="bad"'])[0]?.parameters['realm']).toBe('good');
  });

  test('of absurd length is ignored', () => {
    expect(parseAuthChallenges([`Bearer realm="${'x'.repeat(10_000)}"`])).toEqual([]);
  });

  test('of any text is read without an error', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (text) => {
        expect(Array.isArray(parseAuthChallenges([text, `Bearer ${text}`]))).toBe(true);
      }),
    );
  });

  test('gives back every quoted value that was put in', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (value) => {
        const quoted = value.replaceAll(/(["\\])/g, '\\$1');
        expect(parseAuthChallenges([`Bearer realm="${quoted}"`])[0]?.parameters['realm']).toBe(value);
      }),
    );
  });
});
