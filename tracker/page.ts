/** The tracker's page for people: torrents with their seeders and leechers, a hundred to a page. Plain HTML, no scripts. */
import type { RegisteredBy } from './registrations.ts';
import type { PeerTableStats } from './peer-table.ts';

/** Torrents of one page. */
export const PAGE_TORRENTS = 100;

/** One line of the page. */
export interface PageTorrent {
  readonly infoHash: string;
  readonly complete: number;
  readonly incomplete: number;
  readonly downloaded: number;
  readonly registeredBy: RegisteredBy | undefined;
}

export interface PageFacts {
  readonly isClosed: boolean;
  readonly stats: PeerTableStats;
  readonly registered: Readonly<Record<RegisteredBy, number>>;
  /** The beginning of info-hashes that were asked for; empty for all. */
  readonly prefix: string;
  /** From 1. */
  readonly page: number;
  readonly pages: number;
  readonly torrents: readonly PageTorrent[];
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}code{font-size:.9em;overflow-wrap:anywhere}nav a,nav b{margin-right:1rem}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}a{color:#8bf}}`;

const LET_IN: Readonly<Record<RegisteredBy, string>> = { operator: 'the operator', member: 'a member' };

/** The whole page. */
export function renderPage(facts: PageFacts): string {
  const { stats, isClosed, registered, prefix } = facts;
  const access = isClosed
    ? `closed: ${number(registered.operator)} registered by the operator, ${number(registered.member)} by members of the swarm`
    : 'open: every torrent is served';
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Dockyard tracker</title><style>${STYLE}</style></head>
<body>
<h1>Dockyard tracker</h1>
<p>${number(stats.torrents)} torrents, ${number(stats.complete)} seeders, ${number(stats.incomplete)} leechers; ${access}.</p>
<form method="get" action="/"><label>Info-hash begins with <input name="q" value="${escapeHtml(prefix)}" maxlength="40" pattern="[0-9a-fA-F]*"></label> <button>Show</button></form>
${renderTable(facts)}
${renderPages(facts)}
</body>
</html>
`;
}

function renderTable({ torrents }: PageFacts): string {
  if (torrents.length === 0) return '<p>No torrent to show.</p>';
  const rows = torrents.map(
    ({ infoHash, complete, incomplete, downloaded, registeredBy }) =>
      `<tr><td><code>${escapeHtml(infoHash)}</code></td><td>${number(complete)}</td><td>${number(incomplete)}</td>` +
      `<td>${number(downloaded)}</td><td>${registeredBy === undefined ? '' : LET_IN[registeredBy]}</td></tr>`,
  );
  return `<table>
<thead><tr><th>Info-hash</th><th>Seeders</th><th>Leechers</th><th>Completed</th><th>Registered by</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>`;
}

function renderPages({ page, pages, prefix }: PageFacts): string {
  if (pages <= 1) return '';
  const link = (to: number, text: string): string =>
    `<a href="/?${escapeHtml(new URLSearchParams({ ...(prefix === '' ? {} : { q: prefix }), page: String(to) }).toString())}">${text}</a>`;
  return `<nav>${[
    page > 1 ? link(page - 1, 'Previous') : '',
    `<b>Page ${number(page)} of ${number(pages)}</b>`,
    page < pages ? link(page + 1, 'Next') : '',
  ].join('')}</nav>`;
}

function number(value: number): string {
  return value.toLocaleString('en');
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
