import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AdminServer } from '../../../../node/admin/admin-server.ts';
import { runCommandLine } from '../../../../node/cli/run.ts';
import { flatOptions } from '../../../../node/config/tree.ts';
import { parseSwarmKey } from '../../../../src/swarm/swarm-key.ts';
import { transferError } from '../../../../src/transfer/errors.ts';
import { freeRefusedPort } from '../../../support/refused-port.ts';
import { FakeSubject } from '../admin/fake-subject.ts';
import { makeFacts } from '../config/facts.ts';

let directory = '';
let subject = new FakeSubject();
let server: AdminServer;
let admin = '';
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dockyard-cli-'));
  subject = new FakeSubject();
  subject.goOn();
  const log = pino({ level: 'silent' });
  server = await AdminServer.open(
    { subject, metrics: new Registry(), log },
    { listen: { host: '127.0.0.1', port: 0 } },
  );
  admin = `127.0.0.1:${server.address.port}`;
});
afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], environment: Record<string, string> = {}): Promise<Outcome> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const facts = makeFacts({ environment, workingDirectory: directory });
  const code = await runCommandLine(args, { out, err, isInteractive: false }, facts);
  const text = (stream: PassThrough): string => (stream.read() as Buffer | null)?.toString() ?? '';
  return { code, out: text(out), err: text(err) };
}

describe('preheating', () => {
  test('tells how it went at each node, and fails when one failed', async () => {
    const { code, out } = await run(['preheat', 'seed.lan/team/app:1', '--admin', admin]);
    expect(code).toBe(1);
    expect(out).toBe(
      [
        'sha256:aaaaaaaaaaaa, 2 blobs, 4.00 KiB, to 2 nodes',
        'ready   10.0.0.1:5003  2 blobs, 4.00 KiB',
        'failed  other  1 blob, 1.00 KiB: the store is full (ERR_PREHEAT_NOT_KEPT)',
        '1 node ready, 1 failed\n',
      ].join('\n'),
    );
  });

  test('passes on which nodes and platforms are meant, and is JSON where programs read', async () => {
    const args = ['preheat', 'team/app', '--nodes', 'good', 'zone-a', '--platform', 'linux/arm64', '--json'];
    const { code, out } = await run([...args, '--admin', admin]);
    expect(code).toBe(0);
    const request = { image: 'team/app', nodes: ['good', 'zone-a'], platforms: ['linux/arm64'] };
    expect(subject.preheated).toEqual([request]);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { kind: string }).kind)).toEqual(['plan', 'node', 'node', 'total']);
  });

  test('of what is not there says so', async () => {
    subject.failWith = transferError('ERR_PREHEAT_UNKNOWN', 'team/app has no v9');
    const { code, err } = await run(['preheat', 'team/app:v9', '--admin', admin]);
    expect(code).toBe(1);
    expect(err).toContain('team/app has no v9');
  });
});

describe('reading a node', () => {
  test('status tells what is held and who is there', async () => {
    const { code, out } = await run(['status', '--admin', admin]);
    expect(code).toBe(0);
    expect(out).toMatch(/held +1 blob, 4\.00 KiB of no limit/);
    expect(out).toMatch(/swarm +0\.0\.0\.0:5002, 1 other node, closed by a key/);
  });

  test('status shows blobs on their way with their progress', async () => {
    const [ended] = subject.transfers.reports().ended;
    if (ended !== undefined)
      subject.running.push({ ...ended, outcome: 'running', endedAtMs: undefined, heldPieces: 1, pieceCount: 4 });
    const { out } = await run(['status', '--admin', admin]);
    expect(out).toContain('█████░░░░░░░░░░░░░░░');
    expect(out).toContain('3.00 KiB peers, 1.00 KiB origin');
  });

  test.each(['status', 'peers', 'blobs', 'pulls', 'webhooks', 'replication'])('%s --json is JSON', async (command) => {
    const { code, out } = await run([command, '--json', '--admin', `http://${admin}/`]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toBeInstanceOf(Object);
  });

  test('peers, blobs and pulls are tables', async () => {
    expect((await run(['peers', '--admin', admin])).out).toMatch(/other +10\.0\.0\.2:5003 +-\n/);
    expect((await run(['blobs', '--admin', admin])).out).toMatch(/b{64} +0\.98 KiB +25 % +-\n2 blobs, 4\.24 KiB/);
    expect((await run(['pulls', '--admin', admin])).out).toMatch(
      /complete +4\.00 KiB +3 s +0 B +3\.00 KiB \(2 nodes\) +1\.00 KiB +20 ms/,
    );
  });

  test('webhooks are a table, and so are the events that were given up', async () => {
    expect((await run(['webhooks', '--admin', admin])).out).toMatch(
      /ci +failed 7× +3 +1 +- +https:\/\/ci\.example\.com\/hook +it answered 503 \(2023-11-14 22:13:20\)/,
    );
    expect((await run(['webhooks', 'dead', '--admin', admin])).out).toMatch(
      /ci +2023-11-14 22:13:20 +push +team\/app:v1 +event-1 +it answered 422/,
    );
    const { out } = await run(['webhooks', 'dead', '--json', '--admin', admin]);
    expect(JSON.parse(out)).toMatchObject([{ endpoint: 'ci', event: { id: 'event-1' } }]);
  });

  test('given-up events are delivered once more when that is asked for, of an endpoint that there is', async () => {
    expect(await run(['webhooks', 'retry', 'ci', '--admin', admin])).toMatchObject({
      code: 0,
      out: '1 event to be delivered again\n',
    });
    expect(subject.revived).toEqual(['ci']);
    const { code, err } = await run(['webhooks', 'retry', 'other', '--admin', admin]);
    expect(code).not.toBe(0);
    expect(err).toContain("no webhook endpoint is called 'other'");
  });

  test('the admin address may come from the environment', async () => {
    expect((await run(['status'], { DOCKYARD_ADMIN: admin })).code).toBe(0);
  });

  test('a node that does not answer is exit code 3, with what to do', async () => {
    await server.close();
    const { code, err } = await run(['status', '--admin', admin]);
    expect(code).toBe(3);
    expect(err.split('\n')).toHaveLength(3);
    expect(err).toContain('ERR_ADMIN_UNREACHABLE');
    expect(err).toContain('dockyard node');
  });

  test('a node is read on a port that fetch would refuse', async () => {
    const port = await freeRefusedPort();
    await using other = await AdminServer.open(
      { subject, metrics: new Registry(), log: pino({ level: 'silent' }) },
      { listen: { host: '127.0.0.1', port } },
    );
    for (const command of ['status', 'blobs', 'verify']) {
      const { code, err } = await run([command, '--admin', `127.0.0.1:${other.address.port}`]);
      expect([command, code, err]).toEqual([command, 0, '']);
    }
  });

  test('what is no node is exit code 1, and a name with several addresses says why it failed', async () => {
    const stranger = createServer((_request, response) => void response.end('<html>')).listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    const { port } = stranger.address() as AddressInfo;
    const answered = await run(['status', '--admin', `127.0.0.1:${port}`]);
    stranger.close();
    await once(stranger, 'close');
    expect(answered.code).toBe(1);
    expect(answered.err).toContain('is not the admin server of a node');
    const silent = await run(['status', '--admin', `localhost:${port}`]);
    expect(silent.code).toBe(3);
    expect(silent.err).toContain('ECONNREFUSED');
  });

  test('a bad address is exit code 2', async () => {
    expect((await run(['status', '--admin', 'ftp://x'])).code).toBe(2);
  });
});

describe('gc', () => {
  test('says what was removed and what that freed', async () => {
    const { code, out } = await run(['gc', '--admin', admin]);
    expect(code).toBe(0);
    expect(out).toMatch(/^tag +team\/app:old +sha256:c{12}\nblob +sha256:d{64} +2\.00 KiB\n/);
    expect(out).toContain('1 tag, 0 manifests, 0 links, 1 blob removed: 2.00 KiB freed');
  });

  test('--dry-run asks for no removal', async () => {
    const { out } = await run(['gc', '--dry-run', '--admin', admin]);
    expect(out).toContain('1 tag, 0 manifests, 0 links, 0 blobs would be removed: 0 B would be freed');
  });

  test('--json is one document to a line, the last of them the total', async () => {
    const { out } = await run(['gc', '--json', '--admin', admin]);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ kind }) => kind)).toEqual(['tag', 'blob', 'total']);
    expect(lines.at(-1)).toMatchObject({ dryRun: false, tags: 1, blobs: 1, freedBytes: 2048 });
  });

  test('a run that fails says so, and a plain node that it is no seed', async () => {
    subject.failWith = new Error('the bucket is gone');
    expect(await run(['gc', '--admin', admin])).toMatchObject({
      code: 1,
      err: expect.stringContaining('bucket is gone'),
    });
    subject.collect = undefined;
    expect((await run(['gc', '--admin', admin])).err).toContain('not a seed');
  });
});

describe('verify', () => {
  test('all good is exit code 0', async () => {
    const { code, out } = await run(['verify', '--admin', admin]);
    expect([code, out]).toEqual([0, '2 blobs, 4.98 KiB verified: all good\n']);
  });

  test('a damaged blob is named, and is exit code 1', async () => {
    const [first] = subject.heldBlobs;
    subject.damaged.add(first?.digest ?? '');
    const { code, out } = await run(['verify', '--admin', admin, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ good: 1, damaged: [first?.digest], missing: [] });
  });

  test('a folder that is no data folder is refused', async () => {
    const { code, err } = await run(['verify', '--data', directory]);
    expect(code).toBe(2);
    expect(err).toContain('is not the data folder of a node (ERR_DATA_ABSENT)\n  Name the folder');
    expect((await run(['verify', '--data', 'nowhere'])).err).toContain('nowhere does not exist');
  });
});

describe('doctor', () => {
  test('a failed check is exit code 1, and says what to do', async () => {
    subject.checks = [{ name: 'disk', state: 'fail', seen: 'full', remedy: 'Free some.' }];
    const { code, out } = await run(['doctor', '--admin', admin, '--root', directory]);
    expect(code).toBe(1);
    expect(out).toMatch(/FAIL {2}disk +full\n +→ Free some\./);
    expect(out).toMatch(/WARN {2}clients +no client of this host is pointed at http:\/\/127\.0\.0\.1:5000/);
  });

  test('without a node it still looks at the clients', async () => {
    await server.close();
    await run(['mirror', 'install', 'docker', '--root', directory]);
    const { code, out } = await run(['doctor', '--admin', admin, '--root', directory, '--json']);
    expect(code).toBe(1);
    const checks = JSON.parse(out) as { name: string; state: string; seen: string }[];
    expect(checks.map(({ name, state }) => [name, state])).toEqual([
      ['node', 'fail'],
      ['client docker', 'ok'],
    ]);
  });

  test('a broken file of a client is found', async () => {
    await run(['mirror', 'install', 'docker', '--root', directory]);
    writeFileSync(join(directory, 'etc/docker/daemon.json'), '{');
    const { out } = await run(['doctor', '--admin', admin, '--root', directory]);
    expect(out).toMatch(/FAIL {2}client docker +\/etc\/docker\/daemon\.json is not valid JSON/);
  });
});

describe('mirror', () => {
  test('install and remove tell what they changed', async () => {
    const installed = await run([
      'mirror',
      'install',
      'containerd',
      '--registry',
      'ghcr.io',
      'quay.io',
      '--root',
      directory,
    ]);
    expect(installed.code).toBe(0);
    expect(installed.out.match(/^changed/gm)).toHaveLength(2);
    expect(installed.out).toContain('config_path = "/etc/containerd/certs.d"');
    expect((await run(['mirror', 'remove', 'containerd', '--root', directory, '--json'])).out).toContain(
      'ghcr.io/hosts.toml',
    );
    expect((await run(['mirror', 'remove', 'containerd', '--root', directory])).out).toBe(
      'nothing was installed for containerd\n',
    );
  });

  test('--user means the clients that run without root, and the doctor finds them', async () => {
    const installed = await run(['mirror', 'install', 'docker', '--user', '--root', directory]);
    expect(installed.out).toContain(join(directory, 'home/ada/.config/docker/daemon.json'));
    expect(installed.out).toContain('systemctl --user restart docker');
    const { out } = await run(['doctor', '--admin', admin, '--root', directory]);
    expect(out).toMatch(/ok +client docker \(rootless\) +registry-mirrors/);
    const removed = await run(['mirror', 'remove', 'docker', '--user', '--root', directory]);
    expect(removed.out).toContain('daemon.json');
    expect(existsSync(join(directory, 'home'))).toBe(false);
  });

  test.each([[['mirror', 'install', 'docker']], [['mirror', 'remove', 'docker']], [['doctor']]])(
    '%j with a root that is not there is refused, and makes none',
    async (args) => {
      const { code, err } = await run([...args, '--root', 'mistyped']);
      expect(code).toBe(2);
      expect(err).toContain(`--root: there is no folder ${join(directory, 'mistyped')}`);
      expect(existsSync(join(directory, 'mistyped'))).toBe(false);
    },
  );

  test.each([
    [['mirror', 'install', 'rkt']],
    [['mirror', 'install', 'docker', '--url', 'http://x/path']],
    [['mirror', 'install', 'docker', '--registry', '../x']],
  ])('%j is refused', async (args) => {
    expect((await run([...args, '--root', directory])).code).toBe(2);
  });
});

describe('preparing a node', () => {
  test('key prints a key that a swarm can read', async () => {
    const { code, out } = await run(['key']);
    expect(code).toBe(0);
    expect(parseSwarmKey(Buffer.from(out), 'out').toFileText()).toBe(out);
  });

  test('config check prints a file that means the same', async () => {
    const flags = [
      '--swarm-open',
      '--upstream',
      'ghcr.io=https://ghcr.io',
      '--tags-ttl',
      '5m',
      '--bootstrap',
      'a:1',
      '--bootstrap',
      'b:2',
    ];
    const first = await run(['config', 'check', ...flags]);
    expect(first.code).toBe(0);
    expect(first.out).toContain('ttl: 5m # --tags-ttl');
    const file = join(directory, 'c.yaml');
    writeFileSync(file, first.out);
    const second = await run(['config', 'check', '--config', file]);
    const withoutSources = (text: string): string => text.replaceAll(/ #.*/g, '');
    expect(withoutSources(second.out)).toBe(withoutSources(first.out));
  });

  test('config check hides secrets', async () => {
    writeFileSync(join(directory, 'c.yaml'), 'upstreams: { a.io: { username: u, password: s3cret } }\n');
    const { code, out } = await run(['config', 'check', '--config', 'c.yaml']);
    expect(code).toBe(0);
    expect(out).not.toContain('s3cret');
  });

  test('config check reads the files that the configuration names', async () => {
    writeFileSync(join(directory, 'c.yaml'), 'upstreams: { a.io: { username: u, passwordFile: nowhere } }\n');
    const { code, err } = await run(['config', 'check', '--config', 'c.yaml']);
    expect(code).toBe(2);
    expect(err).toContain('upstream a.io: cannot read');
  });

  test.each([
    [['--swarm-key', 'nowhere.key'], 'ERR_SWARM_KEY_INVALID'],
    [['--tracker', 'udp://nowhere'], 'ERR_TRACKER_FAILED'],
  ])('config check %j finds what a start would', async (args, code) => {
    const outcome = await run(['config', 'check', ...args]);
    expect(outcome.code).not.toBe(0);
    expect(outcome.err).toContain(code);
  });

  test('node has a flag for every option', async () => {
    const { code, out } = await run(['node', '--help']);
    expect(code).toBe(0);
    for (const { flag } of flatOptions()) expect(out).toContain(`--${flag} `);
    expect(out).not.toContain('preset');
  });
});

describe('usage', () => {
  test.each(['', 'node', 'seed', 'tracker', 'config check', 'status', 'verify', 'gc', 'mirror install'])(
    'the help of %j fits a terminal of 80 columns',
    async (command) => {
      const { code, out } = await run([...command.split(' ').filter((word) => word !== ''), '--help']);
      expect(code).toBe(0);
      // A flag of many choices is as long as it is.
      const tooLong = out.split('\n').filter((line) => line.length > 80 && !line.trim().startsWith('--'));
      expect(tooLong).toEqual([]);
    },
  );

  test.each([
    [['node', '--foo'], "unknown option '--foo'", '`dockyard node --help`'],
    [['node', '--listne', 'x'], '(Did you mean --listen?)', '`dockyard node --help`'],
    [['mirror', 'install', 'rkt'], 'Allowed choices are containerd', '`dockyard mirror install --help`'],
    [['bogus'], "unknown command 'bogus'", '`dockyard --help`'],
    [['node', '--push-to', 'seed.lan'], 'add it with --upstream seed.lan=URL', 'docs/CONFIGURATION.md'],
    [
      ['seed', '--push-to', 'docker.io', '--swarm-enabled=false'],
      'push.to is for plain nodes',
      'docs/CONFIGURATION.md',
    ],
    [['node', '--upstream', 'https://ghcr.io'], 'did you mean ghcr.io=https://ghcr.io?', 'docs/CONFIGURATION.md'],
  ])('%j says what is wrong and what to do', async (args, wrong, remedy) => {
    const { code, err } = await run(args);
    expect(code).toBe(2);
    expect(err).toMatch(/^dockyard: /);
    expect(err).toContain(wrong);
    expect(err.trimEnd().split('\n').at(-1)).toContain(remedy);
  });

  test('the version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  test.each([
    [['bogus']],
    [['node', '--listne', 'x']],
    [['node', '--listen', 'x']],
    [['tracker', '--listen', 'x']],
    [['node', 'extra']],
  ])('%j is exit code 2, without a stack', async (args) => {
    const { code, out, err } = await run(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).not.toMatch(/^ +at /m);
    expect(err.length).toBeGreaterThan(10);
  });

  test('--debug shows the stack', async () => {
    expect((await run(['tracker', '--listen', 'x', '--debug'])).err).toMatch(/^ +at /m);
  });
});
