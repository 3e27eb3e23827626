/** Every option of `dockyard tracker`: its name, kind, bounds, default and meaning, as those of a node in schema.ts. */
import { join } from 'node:path';
import { formatHostPort, type HostPort } from './address.ts';
import { defaultDataDirectory } from './defaults.ts';
import type { ConfigProblem, ValueSource } from './entry.ts';
import { address, choice, count, duration, path } from './kinds.ts';
import { group, option, optional, optionFrom, type DefaultContext, type Resolved } from './option.ts';

/** The tree of all options. */
export const TRACKER_SCHEMA = {
  listen: option(address(), {
    summary: 'Where it listens for announces, over TCP and UDP.',
    default: { host: '0.0.0.0', port: 6969 },
  }),
  admin: optionFrom(address(), {
    summary: 'Where the page for people, metrics and health are served; registering is allowed to this machine alone.',
    defaultText: '`127.0.0.1` and the port after that of `listen`',
    defaultFrom: (context): HostPort => ({ host: '127.0.0.1', port: portAfter(context) }),
  }),
  data: optionFrom(path('DIR'), {
    summary: 'The folder in which peers and registrations are kept over a restart.',
    defaultText:
      '`tracker-PORT` in the folder of a node, such as `/var/lib/dockyard/tracker-6969`; nothing is kept where `listen` has port 0',
    defaultFrom: (context): string | undefined => {
      const { port } = context.earlier('listen') as HostPort;
      return port === 0 ? undefined : join(defaultDataDirectory(context), `tracker-${port}`);
    },
  }),
  swarmKey: optional(path('FILE'), {
    summary: 'The swarm key: its holders may announce any torrent, and so let it in for all.',
    unset: 'none',
  }),
  registered: optional(path('FILE'), {
    summary:
      'Info-hashes or magnet links, one on a line, that a closed tracker serves whoever announces them; SIGHUP reads it again.',
    unset: 'none',
  }),
  access: optionFrom(choice(['open', 'closed']), {
    summary:
      'Whether every torrent is served, or only those that are registered or that a holder of the swarm key announced.',
    defaultText: '`closed` where `swarmKey` or `registered` is given, else `open`',
    defaultFrom: (context): 'open' | 'closed' =>
      context.earlier('swarmKey') === undefined && context.earlier('registered') === undefined ? 'open' : 'closed',
  }),
  interval: option(duration({ min: 1_000, max: 86_400_000 }), {
    summary: 'How often clients are told to announce.',
    default: 120_000,
  }),
  peerTtl: option(duration({ min: 2_000, max: 604_800_000 }), {
    summary: 'How long a peer is kept after its last announce; more than `interval`.',
    default: 300_000,
  }),
  registrationTtl: option(duration({ min: 1_000, max: 31_536_000_000 }), {
    summary: 'How long a closed tracker serves a torrent after a holder of the swarm key announced it.',
    default: 86_400_000,
  }),
  announceRate: option(count({ min: 1 }), {
    summary:
      'Announces and scrapes a second of one address (of a /64 in IPv6), with twenty seconds of them at once; this machine has no limit.',
    default: 100,
  }),
  totalRate: option(count({ min: 1 }), {
    summary: 'Announces and scrapes a second of all together.',
    default: 20_000,
  }),
  maxTorrents: option(count({ min: 1, max: 1_000_000 }), {
    summary: 'Torrents with peers at once, about 1 KiB each; so many may be registered, too.',
    default: 100_000,
  }),
  maxPeers: option(count({ min: 1, max: 5_000_000 }), {
    summary: 'Peers at once, once for each torrent, about 100 bytes each; further ones are refused.',
    default: 1_000_000,
  }),
  maxConnections: option(count({ min: 1, max: 65_536 }), {
    summary: 'Connections over HTTP at once; more are closed.',
    default: 4096,
  }),
  log: group('Logs, on standard error.', {
    level: option(choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace']), {
      summary: 'The least important messages to log.',
      default: 'info',
    }),
    format: optionFrom(choice(['json', 'pretty']), {
      summary: 'JSON lines for machines, or coloured lines for people.',
      defaultText: '`pretty` on a terminal, else `json`',
      defaultFrom: ({ facts }): 'json' | 'pretty' => (facts.isTerminal ? 'pretty' : 'json'),
    }),
  }),
};

/** A tracker's configuration, complete. */
export type TrackerOptions = Resolved<typeof TRACKER_SCHEMA>;

function portAfter(context: DefaultContext): number {
  const { port } = context.earlier('listen') as HostPort;
  return port === 0 || port === 65_535 ? 0 : port + 1;
}

/** What must hold between the options of a tracker. */
export function findTrackerContradictions(
  config: TrackerOptions,
  sources: ReadonlyMap<string, ValueSource>,
): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const problem = (key: string, message: string): void =>
    void problems.push({ source: sources.get(key) ?? { kind: 'default' }, message });
  const { access, swarmKey, registered, intervalMs, peerTtlMs } = config;
  if (access === 'closed' && swarmKey === undefined && registered === undefined && config.data === undefined)
    problem(
      'access',
      'a closed tracker needs --swarm-key FILE, --registered FILE, or --data DIR to keep what is registered',
    );
  if (peerTtlMs <= intervalMs)
    problem('peerTtl', 'peerTtl must be longer than interval, or peers are forgotten before they announce again');
  if (formatHostPort(config.listen) === formatHostPort(config.admin) && config.listen.port !== 0)
    problem('admin', `admin and listen cannot both listen on ${formatHostPort(config.listen)}`);
  return problems;
}
