import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rewriteNextLink } from '../../../src/registry/next-link.ts';

const PATH = '/v2/ghcr.io/a/tags/list';

describe('the link to the next page', () => {
  test.each([
    ['</v2/a/tags/list?n=2&last=b>; rel="next"', '?n=2&last=b'],
    ['<https://ghcr.io/v2/a/tags/list?last=b&n=2>;rel=next', '?last=b&n=2'],
    ['<?last=b>; rel="next"', '?last=b'],
    ['</x?n=1>; rel="prev", </x?n=3>; rel="next"', '?n=3'],
    ['</v2/a/tags/list?n=2&ns=evil&last=b>; rel="next"', '?n=2&last=b'],
  ])('%s keeps the client at this node', (header, query) => {
    expect(rewriteNextLink(header, PATH, undefined)).toBe(`<${PATH}${query}>; rel="next"`);
  });

  test('the ns of the client is kept', () => {
    expect(rewriteNextLink('</x?n=2>; rel="next"', '/v2/a/tags/list', 'localhost:5001')).toBe(
      '</v2/a/tags/list?n=2&ns=localhost%3A5001>; rel="next"',
    );
  });

  test.each([
    '',
    'nonsense',
    '</x?n=2>; rel="prev"',
    '</x>; rel="next"',
    '</x?>; rel="next"',
    '</x?a b>; rel="next"',
    '</x?n=2',
  ])('%j leads nowhere', (header) => {
    expect(rewriteNextLink(header, PATH, undefined)).toBeUndefined();
  });

  test('no header of an upstream can point elsewhere or break out', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const link = rewriteNextLink(`<https://evil/?${text}>; rel="next"`, PATH, undefined);
        if (link !== undefined) expect(link).toMatch(/^<\/v2\/ghcr\.io\/a\/tags\/list\?[!-;=?-~]+>; rel="next"$/);
      }),
    );
  });
});
