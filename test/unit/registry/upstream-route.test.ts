import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDockyardError } from '../../../src/oci/error.ts';
import { isRepositoryName } from '../../../src/oci/name.ts';
import { routeUpstream, takeNamespaces } from '../../../src/registry/upstream-route.ts';

const UPSTREAMS = ['docker.io', 'ghcr.io', 'localhost:5001', 'registry.local:5000'];

function route(nameText: string, ...namespaces: string[]): string {
  const { repository, via } = routeUpstream({ nameText, namespaces }, UPSTREAMS);
  return `${via} ${repository.upstream} ${repository.name}`;
}

describe('the upstream of a request', () => {
  test.each([
    ['alpine', [], 'default docker.io library/alpine'],
    ['library/alpine', [], 'default docker.io library/alpine'],
    ['user/image', [], 'default docker.io user/image'],
    ['alpine', ['docker.io'], 'ns docker.io library/alpine'],
    ['alpine', ['registry-1.docker.io'], 'ns docker.io library/alpine'],
    ['a/b', ['index.docker.io'], 'ns docker.io a/b'],
    ['a/b', ['ghcr.io'], 'ns ghcr.io a/b'],
    ['a', ['GHCR.io'], 'ns ghcr.io a'],
    ['a', ['localhost:5001'], 'ns localhost:5001 a'],
    ['ghcr.io/a/b', [], 'path ghcr.io a/b'],
    ['ghcr.io/a', [], 'path ghcr.io a'],
    ['docker.io/alpine', [], 'path docker.io library/alpine'],
    ['registry-1.docker.io/a/b', [], 'path docker.io a/b'],
    ['localhost:5001/x', [], 'path localhost:5001 x'],
    ['registry.local:5000/x/y', [], 'path registry.local:5000 x/y'],
    ['ghcr.io/a/b', ['ghcr.io'], 'ns ghcr.io ghcr.io/a/b'],
    ['localhost', [], 'default docker.io library/localhost'],
    ['2130706433/x', [], 'default docker.io 2130706433/x'],
  ])('%s with ns %j', (nameText, namespaces, expected) => {
    expect(route(nameText, ...namespaces)).toBe(expected);
  });

  test.each([
    ['169.254.169.254/latest', []],
    ['quay.io/a/b', []],
    ['localhost/x', []],
    ['localhost:22/x', []],
    ['ghcr.io:443/x', []],
    ['ghcr.io.evil.com/x', []],
    ['[::1]:5001/x', []],
    ['a', ['169.254.169.254']],
    ['a', ['localhost']],
    ['a', ['127.0.0.1:5001']],
    ['a', ['2130706433']],
    ['a', ['0x7f000001']],
    ['a', ['[::1]']],
    ['a', ['ghcr.io:80']],
    ['a', ['evil.com']],
  ])('%s with ns %j is not an upstream of this node', (nameText, namespaces) => {
    expect(() => route(nameText, ...namespaces)).toThrow(
      expect.objectContaining({
        code: 'ERR_UPSTREAM_NOT_CONFIGURED',
        message: expect.stringContaining('--upstream') as string,
      }),
    );
  });

  test.each([
    ['a', ['']],
    ['a', ['ghcr.io', 'ghcr.io']],
    ['a', ['ghcr.io', 'docker.io']],
    ['a', ['user@ghcr.io']],
    ['a', ['https://ghcr.io']],
    ['a', ['ghcr.io/a']],
    ['a', ['ghcr.io%3A443']],
    ['a', ['ghcr.io\r\nX: y']],
    ['a', ['..']],
    ['user@evil.com/x', []],
    ['ghcr.io@evil.com/x', []],
    ['ghcr..io/x', []],
  ])('%s with ns %j is no question that makes sense', (nameText, namespaces) => {
    expect(() => route(nameText, ...namespaces)).toThrow(expect.objectContaining({ code: 'ERR_NS_INVALID' }));
  });

  test.each([
    [''],
    ['/'],
    ['..'],
    ['../a'],
    ['./a'],
    ['A/b'],
    ['a//b'],
    ['ghcr.io/'],
    ['ghcr.io/../a'],
    ['ghcr.io//a'],
  ])('%j is no name', (nameText) => {
    expect(() => route(nameText)).toThrow(expect.objectContaining({ code: 'ERR_NAME_INVALID' }));
  });

  test('the message of a refusal does not grow with the input', () => {
    expect(() => route('a', `${'a.'.repeat(60)}b`.repeat(1))).toThrow(/^.{1,400}$/);
    expect(() => route(`${'x.'.repeat(50_000)}/a`)).toThrow(/^.{1,400}$/);
  });

  test('without upstreams nothing is reached', () => {
    expect(() => routeUpstream({ nameText: 'a', namespaces: [] }, [])).toThrow(
      expect.objectContaining({ code: 'ERR_UPSTREAM_NOT_CONFIGURED' }),
    );
  });

  test('whatever is asked, the answer is a configured upstream and a valid name, or a refusal by code', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'ab1./:@%[]-_') }),
      fc.constantFrom('ghcr.io/a', 'docker.io', 'localhost:5001/b'),
    );
    fc.assert(
      fc.property(text, fc.array(text, { maxLength: 2 }), (nameText, namespaces) => {
        try {
          const { repository } = routeUpstream({ nameText, namespaces }, UPSTREAMS);
          expect(UPSTREAMS).toContain(repository.upstream);
          expect(isRepositoryName(repository.name)).toBe(true);
        } catch (error) {
          expect(isDockyardError(error)).toBe(true);
        }
      }),
    );
  });

  test('a configured alias is the upstream under its own spelling', () => {
    expect(routeUpstream({ nameText: 'a', namespaces: ['docker.io'] }, ['registry-1.docker.io']).repository).toEqual({
      upstream: 'registry-1.docker.io',
      name: 'library/a',
    });
  });
});

describe('ns in a query', () => {
  test('it is taken out, decoded once, and the rest is left as it was', () => {
    expect(takeNamespaces('n=2&ns=localhost%3A5001&last=a%2Fb')).toEqual({
      namespaces: ['localhost:5001'],
      rest: 'n=2&last=a%2Fb',
    });
    expect(takeNamespaces('n%73=ghcr.io&ns=b')).toEqual({ namespaces: ['ghcr.io', 'b'], rest: '' });
    expect(takeNamespaces('ns')).toEqual({ namespaces: [''], rest: '' });
    expect(takeNamespaces('ns=a%253Ab').namespaces).toEqual(['a%3Ab']);
    expect(takeNamespaces('')).toEqual({ namespaces: [], rest: '' });
  });
});
