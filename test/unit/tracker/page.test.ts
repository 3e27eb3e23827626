import { expect, test } from 'vitest';
import { renderPage } from '../../../tracker/page.ts';

const FACTS = {
  isClosed: true,
  stats: { torrents: 1_234, complete: 5, incomplete: 6 },
  registered: { operator: 1, member: 2 },
  prefix: '',
  page: 2,
  pages: 3,
  torrents: [{ infoHash: 'ab'.repeat(20), complete: 3, incomplete: 2, downloaded: 7, registeredBy: 'member' as const }],
};

test('the page tells of torrents with their peers, and leads to the pages before and after', () => {
  const html = renderPage(FACTS);
  expect(html).toContain('1,234 torrents, 5 seeders, 6 leechers; closed: 1 registered by the operator, 2 by members');
  expect(html).toContain(`<code>${'ab'.repeat(20)}</code></td><td>3</td><td>2</td><td>7</td><td>a member</td>`);
  expect(html).toContain('<a href="/?page=1">Previous</a><b>Page 2 of 3</b><a href="/?page=3">Next</a>');
  expect(html).not.toContain('<script');
});

test('the page shows what it is given as text', () => {
  const html = renderPage({ ...FACTS, prefix: `"><script>'&`, isClosed: false, torrents: [] });
  expect(html).toContain('value="&#34;&#62;&#60;script&#62;&#39;&#38;"');
  expect(html).not.toContain('<script');
  expect(html).toContain('open: every torrent is served');
});
