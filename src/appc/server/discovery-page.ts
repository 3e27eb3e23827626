/** The page that tells clients where images are fetched from and pushed to, and where the keys are. Pure. */

/** What the page says. */
export interface DiscoveryPage {
  /** Names begin with it: the host that was asked. */
  readonly prefix: string;
  /** Where this seed is reached, without a slash at its end. */
  readonly baseUrl: string;
  /** Whether there are keys to be fetched. */
  readonly hasKeys: boolean;
}

/** Paths of the server, below its base. */
export const APPC_PATHS = {
  images: '/appc/images',
  push: '/appc/push',
  sessions: '/appc/uploads',
  keys: '/appc/keys.gpg',
} as const;

/** Renders the page. @see appc/spec v0.8.11, spec/discovery.md; appc/acpush for `ac-push-discovery` */
export function renderDiscoveryPage({ prefix, baseUrl, hasKeys }: DiscoveryPage): string {
  const place = '{name}/{version}/{os}/{arch}';
  const tags = [
    ['ac-discovery', `${baseUrl}${APPC_PATHS.images}/${place}.{ext}`],
    ['ac-push-discovery', `${baseUrl}${APPC_PATHS.push}/${place}`],
    ...(hasKeys ? [['ac-discovery-pubkeys', `${baseUrl}${APPC_PATHS.keys}`]] : []),
  ];
  const metas = tags.map(([name, url]) => `<meta name="${name}" content="${escapeHtml(`${prefix} ${url}`)}">`);
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<title>${escapeHtml(prefix)}</title>`,
    ...metas,
    '</head>',
    `<body><p>App container images of ${escapeHtml(prefix)}.</p></body>`,
    '</html>',
    '',
  ].join('\n');
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => ESCAPES[char] ?? '');
}
