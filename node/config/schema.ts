/**
 * Every option of a node: its name, kind, bounds, default and meaning. Defaults are found in the order of declaration,
 * so that one may depend on those above it.
 */
import {
  defaultDataDirectory,
  defaultDockerConfig,
  defaultFreeDiskBytes,
  defaultStoreSizeBytes,
  defaultSwarmData,
  defaultSwarmListen,
} from './defaults.ts';
import {
  address,
  choice,
  copies,
  count,
  duration,
  host,
  path,
  proxyUrl,
  rate,
  remoteAddress,
  size,
  text,
  toggle,
  url,
} from './kinds.ts';
import { group, list, option, optional, optionFrom, type Resolved } from './option.ts';
import { appcOptions } from './appc-options.ts';
import { replicationOptions } from './replication-options.ts';
import { storageOptions } from './storage-options.ts';
import { torrentOptions } from './torrent-options.ts';
import { upstreams } from './upstream-options.ts';
import { webhookEndpoints } from './webhook-options.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const KIB = 1024;

/** The tree of all options. */
export const CONFIG_SCHEMA = {
  data: optionFrom(path('DIR'), {
    summary: 'The folder of blobs, index and identity.',
    defaultText: '`/var/lib/dockyard` as root, else `$XDG_DATA_HOME/dockyard` or `~/.local/share/dockyard`',
    defaultFrom: defaultDataDirectory,
  }),
  listen: option(address(), {
    summary: 'Where the registry that clients of this host pull from listens.',
    default: { host: '127.0.0.1', port: 5000 },
  }),
  admin: option(address(), {
    summary: 'Where metrics, health and status are served; what changes something is allowed to this machine alone.',
    default: { host: '127.0.0.1', port: 5001 },
  }),
  log: group('Logs, on standard error.', {
    level: option(choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace']), {
      summary: 'The least important messages to log.',
      default: 'info',
      reloadable: true,
    }),
    format: optionFrom(choice(['json', 'pretty']), {
      summary: 'JSON lines for machines, or coloured lines for people.',
      defaultText: '`pretty` on a terminal, else `json`',
      defaultFrom: ({ facts }): 'json' | 'pretty' => (facts.isTerminal ? 'pretty' : 'json'),
    }),
  }),
  swarm: group('The other nodes.', {
    enabled: option(toggle(), { summary: 'Whether this node shares with others at all.', default: true }),
    key: optional(path('FILE'), {
      summary: 'The swarm key: only nodes that hold the same key are let in. `dockyard key` makes one.',
      unset: 'none: the swarm is this machine alone',
    }),
    open: option(toggle(), {
      summary: 'Lets a node without a key listen beyond this machine: anyone who can reach it may join.',
      default: false,
    }),
    listen: optionFrom(address(), {
      summary: 'Where other nodes reach this one.',
      flag: 'swarm',
      defaultText: '`0.0.0.0:5002` with a key (or `open`), else `127.0.0.1:5002`',
      defaultFrom: defaultSwarmListen,
    }),
    data: optionFrom(address(), {
      summary: 'Where other nodes fetch pieces from this one.',
      defaultText: 'the host of `swarm.listen`, and the port after its port',
      defaultFrom: defaultSwarmData,
    }),
    bootstrap: list(remoteAddress(), {
      summary: 'Swarm addresses of nodes to meet the others through; a name stands for all of its addresses.',
      flag: 'bootstrap',
    }),
    announce: optional(host(), {
      summary: 'The host under which other nodes reach this one, when it is none of its own addresses.',
      unset: 'the addresses of this machine',
    }),
    topology: optional(text('LABEL', 256), {
      summary: 'Where this node stands, from the widest to the narrowest (`zone-a/rack-7`): near nodes are preferred.',
      unset: 'none',
    }),
    mdns: option(toggle(), {
      summary: 'Whether nodes of the local network find each other by multicast.',
      default: true,
    }),
    dht: option(toggle(), {
      summary: 'Whether holders are also found through the distributed hash table.',
      default: true,
    }),
    tracker: list(url(['http', 'https', 'udp'], 'http://tracker.lan:6969/announce'), {
      summary: 'Announce URLs of trackers: a second way to find holders.',
      flag: 'tracker',
    }),
  }),
  upstreams,
  credentials: group('Credentials for upstreams that have none of their own above.', {
    dockerConfig: optionFrom(path('FILE'), {
      summary: "Docker's configuration file, whose credentials and credential helpers are used.",
      defaultText: '`$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, if it exists',
      defaultFrom: defaultDockerConfig,
      reloadable: true,
    }),
  }),
  proxy: group('The way to upstreams.', {
    http: optional(proxyUrl(), {
      summary: 'The proxy for upstreams with plain HTTP.',
      unset: '`$HTTP_PROXY` or `$http_proxy`',
      foreignVariables: ['HTTP_PROXY', 'http_proxy'],
      secret: true,
    }),
    https: optional(proxyUrl(), {
      summary: 'The proxy for upstreams with HTTPS.',
      unset: '`$HTTPS_PROXY` or `$https_proxy`',
      foreignVariables: ['HTTPS_PROXY', 'https_proxy'],
      secret: true,
    }),
    none: optional(text('HOSTS', 65_536), {
      summary: 'Hosts, domains and ports to reach without a proxy, separated by commas.',
      unset: '`$NO_PROXY` or `$no_proxy`',
      foreignVariables: ['NO_PROXY', 'no_proxy'],
    }),
  }),
  store: group('What is kept on disk.', {
    maxSize: optionFrom(size({ min: 0 }), {
      summary: 'How much blobs may take; what was used least recently goes first.',
      defaultText: 'half of the file system of `data`, at most `50GiB`',
      defaultFrom: defaultStoreSizeBytes,
      reloadable: true,
    }),
    minFreeDisk: optionFrom(size({ min: 0 }), {
      summary: 'How much of the file system is left free for others.',
      defaultText: 'a twentieth of the file system of `data`, at most `10GiB`',
      defaultFrom: defaultFreeDiskBytes,
      reloadable: true,
    }),
    maxManifests: option(size({ min: 4 * MIB }), {
      summary: 'How much kept manifests may take; what was used least recently goes first.',
      default: 512 * MIB,
      reloadable: true,
    }),
  }),
  tags: group('Tags, which may move.', {
    ttl: option(duration(), {
      summary: 'How long the answer of an upstream to a tag is good before it is asked again.',
      default: 60_000,
      reloadable: true,
    }),
  }),
  transfer: group('Blobs between nodes.', {
    uploadRate: option(rate({ min: 64 * KIB }), {
      summary: 'How fast this node sends to other nodes, all together; `uploadSlots: 0` stops it.',
      default: Infinity,
      reloadable: true,
    }),
    downloadRate: option(rate({ min: 64 * KIB }), {
      summary: 'How fast this node fetches from other nodes and upstreams, all together.',
      default: Infinity,
      reloadable: true,
    }),
    uploadSlots: option(count({ min: 0, max: 65_536 }), {
      summary:
        'Other nodes that are served at once; further ones are told that this one is busy, and whom else to ask.',
      default: 64,
    }),
    uploadQueue: option(count({ min: 1, max: 65_536 }), {
      summary: 'Pieces that one other node may have asked for and not yet received.',
      default: 256,
    }),
    stallTimeout: option(duration({ min: 100, max: 60_000 }), {
      summary: 'How long a holder that owes pieces may send nothing before they are asked of others.',
      default: 2_000,
    }),
    askTimeout: option(duration({ min: 50, max: 60_000 }), {
      summary: 'How long another node may take to say who holds a blob, before the next one is asked.',
      default: 1_000,
    }),
    inlineMax: option(size({ min: 0, max: 4 * MIB }), {
      summary: 'Blobs up to this size travel whole, in one answer.',
      default: 256 * KIB,
    }),
    maxHolders: option(count({ min: 1, max: 1024 }), {
      summary: 'Holders that one blob is fetched from at once.',
      default: 16,
    }),
    maxOriginReaders: option(count({ min: 1, max: 64 }), {
      summary:
        'Nodes that read one blob from its registry at once, each another part, where one connection is too slow.',
      default: 8,
    }),
    maxWindow: option(size({ min: MIB, max: GIB }), {
      summary: 'Bytes asked of one holder and not yet received, at most.',
      default: 4 * MIB,
    }),
    memoryBudget: option(size({ min: 8 * MIB, max: 64 * GIB }), {
      summary: 'How much memory the latest pieces may take, all blobs together; others are read from disk.',
      default: 16 * MIB,
    }),
    banTime: option(duration({ min: 0, max: 86_400_000 }), {
      summary: 'How long a node that sent wrong bytes is left alone.',
      default: 600_000,
    }),
    linger: option(duration({ min: 0, max: 3_600_000 }), {
      summary: 'How long a blob is fetched on after the last client has gone; what has come is kept in any case.',
      default: 30_000,
    }),
  }),
  torrent: torrentOptions,
  push: group('Pushes: to a seed, or through a node to one.', {
    names: list(text('PATTERN', 255), {
      summary:
        "Repositories that are this seed's alone (`team/**`; `*` stops at a slash): nothing else may be pushed, and no upstream is asked for them.",
    }),
    immutableTags: list(text('NAME:TAG', 400), {
      summary: 'Patterns of tags that never change once they are pushed: `team/**:v*`, or `v*` in every repository.',
    }),
    delete: option(toggle(), {
      summary: 'Whether tags, manifests and blobs may be deleted through the registry.',
      default: true,
    }),
    to: list(text('NAME', 255), {
      summary:
        'The upstreams, seeds that keep the same, that a plain node passes pushes on to: to the first that answers. Names without a host are pulled from them as well.',
    }),
    uploadTtl: option(duration({ min: 60_000 }), {
      summary: 'How long an upload that was begun and not finished is kept after its last bytes.',
      default: 86_400_000,
    }),
    bodyTimeout: option(duration({ min: 100, max: 3_600_000 }), {
      summary: 'How long a client may take to send the next 64 KiB; what had come of an upload is kept.',
      default: 60_000,
    }),
  }),
  gc: group('Garbage on a seed: what was pushed and nothing needs any more.', {
    every: option(duration({ min: 0, max: 2_073_600_000 }), {
      summary: 'How often garbage is collected; 0 is only when `dockyard gc` asks for it.',
      default: 0,
    }),
    grace: option(duration(), {
      summary:
        'How long what no image needs is kept after it was last pushed, mounted or found by a client that is about to push.',
      default: 86_400_000,
    }),
    untagged: option(toggle(), {
      summary:
        'Whether manifests go that no tag leads to, neither through an index nor as what is attached to an image.',
      default: false,
    }),
  }),
  scrub: group('The search of a seed for damage in what it keeps.', {
    every: option(duration({ min: 0, max: 2_073_600_000 }), {
      summary: 'The time from the end of one pass over all that is kept to the beginning of the next; 0 is never.',
      default: 604_800_000,
    }),
    rate: option(rate({ min: 64 * KIB }), {
      summary: 'How fast a pass reads.',
      default: 16 * MIB,
    }),
    content: option(toggle(), {
      summary:
        'Whether content is read and hashed; otherwise a pass only asks whether blobs are there, and how long they are.',
      default: true,
    }),
  }),
  retention: group('Tags that a seed keeps; without any rule it keeps all, with some it drops what no rule keeps.', {
    keepTags: list(text('NAME:TAG', 400), {
      summary: 'Patterns of tags that are kept: `team/**:v*`, or `v*` in every repository.',
    }),
    keepNewest: option(count({ min: 0, max: 1_000_000 }), {
      summary: 'How many tags of each repository are kept, those pushed last; 0 is no such rule.',
      default: 0,
    }),
    keepPushedWithin: option(duration(), {
      summary: 'Tags that were pushed so recently are kept; 0 is no such rule.',
      default: 0,
    }),
    keepPulledWithin: option(duration(), {
      summary: 'Tags that were pulled or pushed so recently are kept; 0 is no such rule.',
      default: 0,
    }),
  }),
  copies: group('Images of a seed that other nodes hold as well, whether anybody pulls them or not.', {
    minimum: list(copies(), {
      summary:
        'How many nodes hold an image, this seed included: `team/**:v*=3`. Where they are too few, others are asked to fetch it.',
    }),
    every: option(duration({ min: 1_000, max: 86_400_000 }), {
      summary: 'How often the copies are counted, besides after a push.',
      default: 600_000,
    }),
  }),
  replication: replicationOptions,
  storage: storageOptions,
  appc: appcOptions,
  notifications: group('Webhooks of a seed.', {
    includeReferences: option(toggle(), {
      summary: 'Whether events of manifests name what the manifest refers to.',
      default: false,
      reloadable: true,
    }),
    endpoints: webhookEndpoints,
  }),
  http: group('The registry that clients talk to.', {
    maxConnections: option(count({ min: 1 }), {
      summary: 'Connections of clients at once; more are closed.',
      default: 4096,
    }),
    headersTimeout: option(duration({ min: 100, max: 600_000 }), {
      summary: 'How long a client may take to send the head of a request.',
      default: 15_000,
    }),
    shutdownGrace: option(duration({ min: 0, max: 3_600_000 }), {
      summary: 'How long running answers may take to finish when the node is stopped.',
      default: 30_000,
      reloadable: true,
    }),
  }),
};

/** A node's configuration, complete. */
export type NodeConfig = Resolved<typeof CONFIG_SCHEMA>;

/** One webhook endpoint of it. */
export type WebhookConfig = NodeConfig['notifications']['endpoints'][number];

/** One upstream of it. */
export type UpstreamConfig = NodeConfig['upstreams'][number];
