/** What must hold between options: each may be fine by itself and the whole still be wrong. */
import { formatHostPort, isLoopbackHost, type HostPort } from './address.ts';
import type { ConfigProblem, ValueSource } from './entry.ts';
import type { NodeConfig, UpstreamConfig, WebhookConfig } from './schema.ts';
import { formatOptionPath } from './tree.ts';

/** All contradictions of a configuration whose single values are right. */
export function findContradictions(
  config: NodeConfig,
  sources: ReadonlyMap<string, ValueSource>,
): readonly ConfigProblem[] {
  const sourceOf = (key: string): ValueSource => sources.get(key) ?? { kind: 'default' };
  const problems: ConfigProblem[] = [];
  const problem = (key: string, message: string): void => void problems.push({ source: sourceOf(key), message });
  checkPorts(config, problem);
  checkSwarmIsPrivate(config, (key) => sources.has(key), problem);
  for (const upstream of config.upstreams) checkCredentials(upstream, problem);
  for (const endpoint of config.notifications.endpoints) checkWebhook(endpoint, problem);
  checkStorage(config.storage, problem);
  if (config.copies.minimum.length > 0 && config.storage.driver !== 'filesystem') {
    problem('copies.minimum', 'copies.minimum needs storage.driver filesystem: from a bucket other nodes do not fetch');
  }
  checkUpstreamNames(config, problem);
  return problems;
}

/** Options that name upstreams name those that are there, each once. */
function checkUpstreamNames({ push, replication, upstreams }: NodeConfig, problem: Report): void {
  for (const [key, names] of [
    ['push.to', push.to],
    ['replication.from', replication.from],
  ] as const) {
    for (const [index, name] of names.entries()) {
      if (!upstreams.some((upstream) => upstream.name === name))
        problem(key, `${key} '${name}' is not an upstream of this node; add it with --upstream ${name}=URL`);
      if (names.indexOf(name) !== index) problem(key, `${key} names '${name}' twice`);
    }
  }
}

type Report = (key: string, message: string) => void;

function checkPorts(config: NodeConfig, problem: Report): void {
  const taken = new Map<string, string>();
  const listening: readonly (readonly [string, HostPort])[] = [
    ['listen', config.listen],
    ['admin', config.admin],
    ...(config.swarm.enabled
      ? ([
          ['swarm.listen', config.swarm.listen],
          ['swarm.data', config.swarm.data],
        ] as const)
      : []),
    ...(config.torrent.enabled ? ([['torrent.listen', config.torrent.listen]] as const) : []),
  ];
  for (const [key, address] of listening) {
    const text = formatHostPort(address);
    const other = taken.get(text);
    if (other !== undefined && address.port !== 0) problem(key, `${key} and ${other} cannot both listen on ${text}`);
    taken.set(text, key);
  }
}

function checkSwarmIsPrivate(config: NodeConfig, isSet: (key: string) => boolean, problem: Report): void {
  const { enabled, key, open, listen, data } = config.swarm;
  if (!enabled || key !== undefined || open) return;
  for (const [name, address] of [
    ['swarm.listen', listen],
    ['swarm.data', data],
  ] as const) {
    if (isLoopbackHost(address.host)) continue;
    // It follows swarm.listen, of which the same is said already.
    if (name === 'swarm.data' && !isSet(name) && !isLoopbackHost(listen.host)) continue;
    problem(
      name,
      `${name} ${formatHostPort(address)} would let anyone in who can reach it; give the same --swarm-key FILE to every node ` +
        '(`dockyard key > FILE` makes one), or say --swarm-open if that is meant',
    );
  }
}

function checkCredentials(upstream: UpstreamConfig, problem: Report): void {
  const key = (name: string): string => formatOptionPath(['upstreams', upstream.name, name]);
  const hasPassword = upstream.password !== undefined || upstream.passwordFile !== undefined;
  if (upstream.password !== undefined && upstream.passwordFile !== undefined) {
    problem(key('passwordFile'), `${key('password')} and passwordFile cannot both be given`);
  }
  if (upstream.token !== undefined && (upstream.username !== undefined || hasPassword)) {
    problem(key('token'), `${key('token')} and an account cannot both be given`);
  }
  if ((upstream.username !== undefined) !== hasPassword) {
    const given =
      upstream.username === undefined ? (upstream.password === undefined ? 'passwordFile' : 'password') : 'username';
    problem(
      key(given),
      `${key(given)} needs ${given === 'username' ? 'password or passwordFile' : 'username'} beside it`,
    );
  }
}

function checkWebhook({ name, url, secret, secretFile }: WebhookConfig, problem: Report): void {
  const key = (option: string): string => formatOptionPath(['notifications', 'endpoints', name, option]);
  if (url === undefined) problem(key('url'), `${key('url')} is missing; every endpoint needs one`);
  if (secret !== undefined && secretFile !== undefined)
    problem(key('secretFile'), `${key('secret')} and secretFile cannot both be given`);
}

function checkStorage({ driver, s3 }: NodeConfig['storage'], problem: Report): void {
  if (driver !== 's3') return;
  if (s3.bucket === undefined) problem('storage.driver', 'storage.driver s3 needs storage.s3.bucket beside it');
  if (s3.secretKey !== undefined && s3.secretKeyFile !== undefined)
    problem('storage.s3.secretKeyFile', 'storage.s3.secretKey and secretKeyFile cannot both be given');
  const hasSecret = s3.secretKey !== undefined || s3.secretKeyFile !== undefined;
  if ((s3.accessKey !== undefined) !== hasSecret)
    problem('storage.s3.accessKey', 'storage.s3.accessKey and secretKey (or secretKeyFile) need each other');
}
