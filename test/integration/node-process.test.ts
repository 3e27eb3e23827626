import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startNode } from '../../node/composition/start-node.ts';
import { createLog } from '../../node/composition/log.ts';
import { loadConfig } from '../../node/config/load.ts';
import type { NodeConfig } from '../../node/config/schema.ts';
import { CONFIG_TREE } from '../../node/config/tree.ts';
import type { GroupOptions } from '../../node/config/option.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { makeFacts } from '../unit/node/config/facts.ts';
import { callHttp, readBody } from '../../node/http-call.ts';
import { dockyard } from '../support/command-line.ts';
import { NodeProcess } from '../support/node-process.ts';
import { freePort, until } from '../support/programs.ts';
import { freeRefusedPort } from '../support/refused-port.ts';

let directory = '';
let origin: Server;
let originUrl = '';
let answer: RequestListener;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dockyard-node-'));
  answer = (_request, response) => void response.writeHead(404).end();
  origin = createServer((request, response) => answer(request, response)).listen(0, '127.0.0.1');
  await once(origin, 'listening');
  originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
});
afterEach(() => {
  origin.closeAllConnections();
  origin.close();
  rmSync(directory, { recursive: true, force: true });
});

const data = (): string[] => ['--data', join(directory, 'data'), '--upstream', `r.lan=${originUrl}`];

describe('a node as a process', () => {
  test('tells where it is, serves, and ends by SIGTERM with exit code 0', async () => {
    await using node = await NodeProcess.start(data());
    expect(node.out).toContain(`Dockyard serves r.lan; also docker.io on http://${node.facade}`);
    expect(node.out).toContain('this machine alone');
    expect(node.out).toContain(`docker pull ${node.facade}/REPOSITORY:TAG (an image of r.lan)`);
    expect(node.out).toContain(`--url http://${node.facade}`);
    expect((await fetch(`http://${node.facade}/v2/`)).status).toBe(200);
    expect(await (await fetch(`http://${node.admin}/metrics`)).text()).toMatch(/^dockyard_build_info\{.*version="/m);
    node.child.kill('SIGTERM');
    expect(await node.exited()).toBe(0);
    expect(node.log().at(-1)).toMatchObject({ msg: 'node stopped' });
  });

  test('gets ready with its registry and its admin server on ports that fetch refuses', async () => {
    const facade = await freeRefusedPort();
    const admin = await freeRefusedPort(8);
    const addresses = ['--listen', `127.0.0.1:${facade}`, '--admin', `127.0.0.1:${admin}`, '--swarm', '127.0.0.1:0'];
    await using node = new NodeProcess(['node', ...addresses, '--swarm-mdns=false', ...data()], { facade, admin });
    await node.logged('node started');
    const answer = await callHttp(`http://${node.admin}/readyz`);
    expect([answer.statusCode, await readBody(answer)]).toEqual([200, expect.stringContaining('"ready":true')]);
    await using status = new NodeProcess(['status', '--admin', node.admin], { facade: 0, admin: 0 });
    expect(await status.exited(), status.err).toBe(0);
    expect(status.out).toContain(`http://127.0.0.1:${facade}`);
  });

  test('drains on the first signal and gives up at once on the second', async () => {
    const bytes = Buffer.alloc(512 * 1024, 1);
    const digest = digestOf(bytes);
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': bytes.length, 'docker-content-digest': digest });
      response.write(bytes.subarray(0, 300 * 1024));
    };
    await using node = await NodeProcess.start([...data(), '--http-shutdown-grace', '5m']);
    const response = await fetch(`http://${node.facade}/v2/lib/x/blobs/${digest}`);
    expect(response.status).toBe(200);
    node.child.kill('SIGTERM');
    await node.logged('node stopping');
    // New connections are refused while the running one is waited for.
    await until(
      'the registry refuses',
      async () =>
        await fetch(`http://${node.facade}/v2/`).then(
          () => undefined,
          () => true,
        ),
    );
    expect(node.child.exitCode).toBeNull();
    node.child.kill('SIGTERM');
    expect(await node.exited()).toBe(0);
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  test('SIGHUP applies upstreams and limits, names what must wait, and keeps all when the new file is wrong', async () => {
    const file = join(directory, 'dockyard.yaml');
    writeFileSync(file, 'log: { level: info }\n');
    await using node = await NodeProcess.start(['--config', file, ...data()]);
    const namesOf = async (): Promise<string[]> => {
      const status = (await (await fetch(`http://${node.admin}/status`)).json()) as { upstreams: { name: string }[] };
      return status.upstreams.map(({ name }) => name);
    };
    const changed = ['log: { level: debug }', `upstreams: { new.lan: "${originUrl}" }`, 'store: { maxSize: 1GiB }'];
    writeFileSync(file, [...changed, 'transfer: { linger: 7s }\n'].join('\n'));
    node.child.kill('SIGHUP');
    expect(await node.logged('configuration reloaded')).toMatchObject({
      applied: ['log.level', 'upstreams', 'store.maxSize'],
    });
    expect(await node.logged('changed options that need a restart; their old values stay')).toMatchObject({
      waiting: ['transfer.linger'],
    });
    expect(await node.metric('dockyard_store_limit_bytes')).toBe(1024 ** 3);
    expect(await namesOf()).toEqual(['r.lan', 'new.lan', 'docker.io']);
    writeFileSync(file, 'upstreams: { third.lan: "ftp://x" }\n');
    node.child.kill('SIGHUP');
    const refused = await node.logged('configuration not reloaded; the old one stays');
    expect(JSON.stringify(refused)).toContain('dockyard.yaml:1');
    expect(await namesOf()).toEqual(['r.lan', 'new.lan', 'docker.io']);
  });

  test('a start that fails is told in one line with its cause, and leaves no new folder', async () => {
    await using node = await NodeProcess.start(data());
    const key = join(directory, 'bad.key');
    writeFileSync(key, 'nonsense');
    const file = join(directory, 'file');
    writeFileSync(file, '');
    const fresh = ['--data', join(directory, 'fresh')];
    const swarm = await node.swarm();
    const cases = [
      [['--listen', node.facade, ...fresh], 1, 'ERR_LISTEN_FAILED', /for clients: EADDRINUSE, .*--listen HOST:PORT/],
      [['--admin', node.facade, ...fresh], 1, 'ERR_LISTEN_FAILED', /admin server: EADDRINUSE, .*--admin HOST:PORT/],
      [['--swarm', swarm, ...fresh], 1, 'ERR_SWARM_LISTEN', /for the swarm: EADDRINUSE, .*--swarm HOST:PORT/],
      [['--swarm-data', swarm, ...fresh], 1, 'ERR_SWARM_LISTEN', /for pieces .*EADDRINUSE, .*--swarm-data HOST:PORT/],
      [['--swarm-key', key, ...fresh], 1, 'ERR_SWARM_KEY_INVALID', /bad\.key cannot be used/],
      [['--tracker', 'udp://nowhere', ...fresh], 1, 'ERR_TRACKER_FAILED', /has no port/],
      [
        ['--upstream', 'a.io', '--upstream', 'a.io=https://b.io', ...fresh],
        2,
        'ERR_CONFIG_INVALID',
        /'a\.io' is given/,
      ],
      [data(), 1, 'ERR_STORE_LOCKED', /in use by another process/],
      [['--data', join(file, 'below')], 1, 'ERR_STORE_IO', /ENOTDIR: a part of the path is a file.*--data DIR/],
      [['--data', '/proc/dockyard/below'], 1, 'ERR_STORE_IO', /ENOENT: no folder can be made there.*--data DIR/],
    ] as const;
    for (const [args, exitCode, code, words] of cases) {
      const any = '127.0.0.1:0';
      const common = ['--listen', any, '--admin', any, '--swarm', any, '--log-level', 'fatal', '--swarm-mdns=false'];
      const failed = await dockyard(['node', ...common, ...args]);
      expect([code, failed.code], failed.err).toEqual([code, exitCode]);
      expect(failed.err).toContain(code);
      expect(failed.err).toMatch(words);
      expect(failed.err.split('\n')).toHaveLength(3);
      expect(existsSync(join(directory, 'fresh')), `a folder after ${code}`).toBe(false);
    }
  });

  test('a node that finds its port taken keeps the folder that it had', async () => {
    const own = join(directory, 'own');
    await using node = await NodeProcess.start(data());
    mkdirSync(own);
    const addresses = ['--listen', node.facade, '--admin', '127.0.0.1:0', '--swarm', '127.0.0.1:0'];
    await using failed = new NodeProcess(['node', ...addresses, '--data', own], { facade: 0, admin: 0 });
    expect(await failed.exited()).toBe(1);
    expect(failed.err).toMatch(/for clients: EADDRINUSE/);
    expect(existsSync(own)).toBe(true);
  });

  test('two nodes meet, and the doctor sends a test blob from one to the other', async () => {
    const key = join(directory, 'swarm.key');
    const ports = { facade: 0, admin: 0 };
    await using making = new NodeProcess(['key'], ports);
    await making.exited();
    writeFileSync(key, making.out, { mode: 0o600 });
    const swarmPort = await freePort();
    const shared = ['--swarm-key', key, '--upstream', `r.lan=${originUrl}`];
    await using _first = await NodeProcess.start([
      ...shared,
      '--data',
      join(directory, 'a'),
      '--swarm',
      `127.0.0.1:${swarmPort}`,
      '--swarm-data',
      '127.0.0.1:0',
    ]);
    await using second = await NodeProcess.start([
      ...shared,
      '--data',
      join(directory, 'b'),
      '--bootstrap',
      `127.0.0.1:${swarmPort}`,
    ]);
    await until('they meet', async () => {
      const peers = (await (await fetch(`http://${second.admin}/peers`)).json()) as unknown[];
      return peers.length === 2 ? true : undefined;
    });
    await using doctor = new NodeProcess(['doctor', '--admin', second.admin, '--root', directory, '--json'], ports);
    expect(await doctor.exited(), doctor.out + doctor.err).toBe(0);
    const checks = JSON.parse(doctor.out) as { name: string; state: string; seen: string }[];
    const states = new Map(checks.map(({ name, state }) => [name, state]));
    for (const name of [
      'node',
      'registry port',
      'swarm port',
      'data port',
      'disk',
      'data folder',
      'swarm',
      'test blob',
      'clock',
      'upstream r.lan',
    ]) {
      expect([name, states.get(name)]).toEqual([name, 'ok']);
    }
    expect(statSync(join(directory, 'a', 'identity.key')).mode & 0o077).toBe(0);
  });

  test('a tracker answers, and ends by SIGINT', async () => {
    await using tracker = new NodeProcess(['tracker', '--listen', '127.0.0.1:0'], { facade: 0, admin: 0 });
    const port = await until(
      'the tracker tells its port',
      () => /http:\/\/127\.0\.0\.1:(\d+)\/announce/.exec(tracker.out)?.[1],
    );
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
    await using second = new NodeProcess(['tracker', '--listen', `127.0.0.1:${port}`], { facade: 0, admin: 0 });
    expect(await second.exited()).toBe(1);
    expect(second.err).toMatch(/for the tracker: EADDRINUSE, another program listens there; --listen HOST:PORT/);
    tracker.child.kill('SIGINT');
    expect(await tracker.exited()).toBe(0);
  });
});

/** Reads of options, by dotted name, through a configuration that notes them. */
function noting(values: object, path: string, seen: Set<string>): object {
  return new Proxy(values, {
    get(target, key): unknown {
      const value: unknown = Reflect.get(target, key);
      if (typeof key === 'symbol') return value;
      const here = Array.isArray(target) && /^\d+$/.test(key) ? `${path}.*` : path === '' ? key : `${path}.${key}`;
      const isPart = typeof value === 'object' && value !== null && CONTAINERS.has(here);
      if (isPart) return noting(value, here, seen);
      seen.add(here);
      return value;
    },
  });
}

/** Names of groups, and of options with their units, as the code sees them. */
function namesIn(tree: GroupOptions, path: string): { containers: string[]; options: string[] } {
  const containers: string[] = [];
  const options: string[] = [];
  for (const [name, spec] of Object.entries(tree)) {
    const here = path === '' ? name : `${path}.${name}`;
    if (spec.type === 'option' || spec.type === 'list') {
      options.push(here + spec.kind.suffix);
      continue;
    }
    const below = spec.type === 'group' ? namesIn(spec.options, here) : namesIn(spec.entry, `${here}.*`);
    containers.push(here, ...(spec.type === 'named' ? [`${here}.*`] : []), ...below.containers);
    options.push(...below.options);
  }
  return { containers, options };
}

const CONTAINERS = new Set(namesIn(CONFIG_TREE, '').containers);

const SEED_WITH_ALL = `
storage:
  driver: s3
  s3: { bucket: b, endpoint: ORIGIN, accessKey: a, secretKey: s }
notifications:
  endpoints:
    one: { url: 'https://hooks.example/' }
`;

test('every option of the schema is read by a node that starts and stops', async () => {
  const flag = (name: string, value: string) => ({ flag: name, values: [value] });
  const bytes = Buffer.from('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}');
  answer = (_request, response) => {
    const headers = {
      'content-type': 'application/vnd.oci.image.index.v1+json',
      'docker-content-digest': digestOf(bytes),
    };
    response.writeHead(200, { ...headers, 'content-length': bytes.length }).end(bytes);
  };
  const any = '127.0.0.1:0';
  const flags = [
    flag('data', join(directory, 'data')),
    flag('listen', any),
    flag('admin', any),
    flag('swarm', any),
    flag('torrent', any),
    flag('swarm-mdns', 'false'),
    flag('upstream', `r.lan=${originUrl}`),
  ];
  const { config } = loadConfig({ flags, facts: makeFacts() });
  const seen = new Set<string>();
  const noted = noting(config, '', seen) as NodeConfig;
  createLog({ level: noted.log.level, format: noted.log.format });
  await using node = await startNode({ log: pino({ level: 'silent' }), version: 'test' }, noted);
  // The time to live of a tag matters from its second request on.
  const facade = `http://127.0.0.1:${node.addresses.facade.port}`;
  const url = `${facade}/v2/lib/x/manifests/v1`;
  expect([(await fetch(url)).status, (await fetch(url)).status]).toEqual([200, 200]);
  // The engine of torrents starts with the first one that is asked for.
  const blob = await fetch(`${facade}/v2/lib/x/blobs/${digestOf(bytes)}`);
  expect(await blob.text()).toBe(bytes.toString());
  const torrent = `${facade}/torrents/${digestOf(bytes)}.torrent`;
  await expect.poll(async () => (await fetch(torrent)).status, { timeout: 8_000 }).toBe(200);
  await node.close();
  await using seed = await startNode({ log: pino({ level: 'silent' }), version: 'test', role: 'seed' }, noted);
  await seed.close();
  // What a seed reads only when it is told to: the bucket answers that it does not know the key, which ends the start.
  answer = (_request, response) => response.writeHead(403).end();
  const file = join(directory, 'seed.yaml');
  writeFileSync(file, SEED_WITH_ALL.replaceAll('ORIGIN', originUrl));
  const { config: all } = loadConfig({ flags, file, facts: makeFacts() });
  const starting = startNode(
    { log: pino({ level: 'silent' }), version: 'test', role: 'seed' },
    noting(all, '', seen) as NodeConfig,
  );
  await expect(starting).rejects.toThrow(/bucket|key|403/i);
  expect(namesIn(CONFIG_TREE, '').options.filter((name) => !seen.has(name))).toEqual([]);
});
