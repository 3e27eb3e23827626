/** The tracker process from outside: what it keeps, what it serves when it is closed, and what it does with bad input. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateSwarmKey, type SwarmKey } from '../../src/swarm/swarm-key.ts';
import type { TrackerAnnounce, TrackerAnswer } from '../../src/swarm/tracker-answer.ts';
import { announceToTracker, parseTrackerUrl } from '../../src/swarm/tracker-client.ts';
import { TrackerProof } from '../../src/swarm/tracker-proof.ts';
import { PeerTable } from '../../tracker/peer-table.ts';
import { Registrations } from '../../tracker/registrations.ts';
import { readStateFile } from '../../tracker/state-file.ts';
import { requirement } from '../skip-reasons.ts';
import { dockyard } from '../support/command-line.ts';
import { until } from '../support/programs.ts';
import { TrackerProcess } from '../support/tracker-process.ts';

/** An address of this machine that others could reach. */
const OWN_ADDRESS = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const hasAddress = requirement('an IPv4 address beside loopback', OWN_ADDRESS !== undefined, 'connect the machine');

async function announce(
  url: string,
  about: Partial<TrackerAnnounce> & { infoHash: Uint8Array },
): Promise<TrackerAnswer> {
  const usual = { peerId: randomBytes(20), port: 5_000, event: 'started', leftBytes: 0, wantedPeers: 50 } as const;
  return await announceToTracker(parseTrackerUrl(url), { ...usual, ...about }, { signal: AbortSignal.timeout(10_000) });
}

/** Sends raw bytes; answers all that comes until the tracker closes. */
async function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => socket.destroy());
  socket.write(bytes, 'latin1');
  return await text(socket).catch(() => 'reset');
}

/** Sends datagrams, and collects what comes back until one answers the last of them. */
async function sendDatagrams(port: number, messages: readonly Buffer[]): Promise<Buffer[]> {
  const socket = createSocket('udp4');
  const answers: Buffer[] = [];
  const last = Buffer.alloc(16);
  last.writeBigUInt64BE(0x41727101980n, 0);
  last.writeUInt32BE(0xffff, 12);
  const done = new Promise<void>((resolve) => {
    socket.on('message', (message) => {
      if (message.readUInt32BE(4) === 0xffff) resolve();
      else answers.push(message);
    });
  });
  for (const message of messages) socket.send(message, port, '127.0.0.1');
  const again = setInterval(() => socket.send(last, port, '127.0.0.1'), 50);
  await done;
  clearInterval(again);
  socket.close();
  return answers;
}

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dockyard-tracker-'));
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

describe('a tracker that is sent rubbish', { timeout: 60_000 }, () => {
  const hash = '%aa'.repeat(20);
  const peer = '&peer_id=-XX0000-123456789012&port=5000&left=0';

  test('answers each with what is wrong, ends who is slow, and goes on', async () => {
    await using tracker = await TrackerProcess.start();
    const slow = ['GET /announce?info_hash=', 'GET / HTTP/1.1\r\nhost: t\r\nx-a: b', ''].map(async (bytes) => {
      const startMs = performance.now();
      const answer = await sendRaw(tracker.port, bytes);
      return { answer, ms: performance.now() - startMs };
    });
    const wrong: [string, RegExp][] = [
      ['\0\x01\x02\r\n\r\n', /^HTTP\/1\.1 400|^reset$/],
      [get(`/announce?info_hash=${'a'.repeat(20_000)}`), /^HTTP\/1\.1 431|^reset$/],
      [get('/nothing/../../etc/passwd'), /^HTTP\/1\.1 404/],
      ['POST /announce HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 0\r\n\r\n', /^HTTP\/1\.1 405/],
      [get('/announce'), /invalid info_hash/],
      [get(`/announce?info_hash=${hash}`), /invalid peer_id/],
      [get(`/announce?info_hash=${hash}&info_hash=${hash}${peer}`), /invalid info_hash/],
      [get(`/announce?info_hash=${hash}&peer_id=-XX0000-123456789012&port=0`), /invalid port/],
      [get(`/announce?info_hash=${hash}&peer_id=-XX0000-123456789012&port=1.5`), /invalid port/],
      [get(`/announce?info_hash=${hash}${peer}&event=constructor`), /invalid event/],
      [get(`/announce?info_hash=${hash}${peer}&event=started&event=stopped`), /invalid event/],
      [get(`/announce?info_hash=${hash}${peer}&numwant=-1e99&compact=7&left=x`), /10:incompletei1e.*5:peers0:e/],
      [get('/scrape'), /info_hash is missing/],
      [get('/scrape?info_hash=%zz'), /invalid info_hash/],
      [get(`/scrape?info_hash=${hash}${`&info_hash=${'a'.repeat(20)}`.repeat(74)}`), /more than 74/],
      [get(`/scrape?info_hash=${hash}`), /8:completei0e10:downloadedi0e10:incompletei1ee/],
    ];
    for (const [bytes, answer] of wrong) expect(await sendRaw(tracker.port, bytes), bytes.slice(0, 90)).toMatch(answer);
    for (const { answer, ms } of await Promise.all(slow)) {
      expect(answer).toMatch(/^HTTP\/1\.1 408|^$|^reset$/);
      expect(ms).toBeLessThan(9_000);
    }
    await announce(tracker.url('http'), { infoHash: randomBytes(20) });
    expect(await (await tracker.admin('/metrics')).text()).toMatch(
      /requests_total\{protocol="http",outcome="malformed"\} 1[0-9]\n/,
    );
  });

  test('over UDP answers no more than it was sent, unless who asks showed that it is there', async () => {
    await using tracker = await TrackerProcess.start();
    const forged = Buffer.alloc(98);
    forged.writeBigUInt64BE(0x41727101980n, 0);
    forged.writeUInt32BE(1, 8);
    forged.writeUInt16BE(5_000, 96);
    const forgedScrape = Buffer.alloc(36);
    forgedScrape.writeUInt32BE(2, 8);
    const rubbish = Array.from({ length: 3_000 }, (_, index) => randomBytes(index % 200));
    const answers = await sendDatagrams(tracker.port, [forged, forgedScrape, ...rubbish]);
    expect(answers).toHaveLength(1);
    expect(answers[0]?.toString('latin1', 8)).toMatch(/^connection id is not valid/);
    expect((await tracker.stats())['torrents']).toBe(0);
    await announce(tracker.url('udp'), { infoHash: randomBytes(20) });
    expect((await tracker.stats())['torrents']).toBe(1);
  });

  test.skipIf(!hasAddress)('bounds the announces of an address, and says when to come again', async () => {
    await using tracker = await TrackerProcess.start(['--listen', '0.0.0.0:0', '--announce-rate', '1']);
    const infoHash = randomBytes(20);
    for (const scheme of ['http', 'udp']) {
      const url = tracker.url(scheme, OWN_ADDRESS);
      const flood = Array.from({ length: 30 }, async () => announce(url, { infoHash }));
      const refused = (await Promise.allSettled(flood)).filter(({ status }) => status === 'rejected');
      expect(refused.length).toBeGreaterThanOrEqual(scheme === 'http' ? 5 : 25);
      await expect(announce(url, { infoHash })).rejects.toThrow(/it refused: too many announces: try again in \d+ s/);
    }
    await announce(tracker.url('http'), { infoHash });
    const query = `info_hash=${'a'.repeat(20)}&peer_id=${'b'.repeat(20)}&port=1`;
    const answer = await fetch(`http://${OWN_ADDRESS}:${tracker.port}/announce?${query}`);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(await answer.text()).toMatch(/8:retry ini1ee$/);
  });
});

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n`;
}

describe('what a tracker keeps', { timeout: 60_000 }, () => {
  test('is there again after it was killed, and as far as it is readable after its file was damaged', async () => {
    const data = join(folder, 'kept');
    const [infoHash, other] = [randomBytes(20), randomBytes(20)];
    {
      await using tracker = await TrackerProcess.start(['--data', data]);
      for (const port of [1, 2, 3]) await announce(tracker.url('http'), { infoHash, port });
      await announce(tracker.url('udp'), { infoHash: other, port: 9 });
      await until('all of it is written', async () => {
        const nowMs = (): number => Date.now();
        const bounds = { maxTorrents: 10, maxPeers: 10, peerTtlMs: 60_000 };
        const table = new PeerTable({ nowMs, random: Math.random }, bounds);
        const registrations = new Registrations(nowMs, { ttlMs: 60_000, max: 10 });
        await readStateFile(join(data, 'tracker.state'), { table, registrations });
        return table.stats().complete === 4;
      });
      await tracker.kill();
    }
    {
      await using tracker = await TrackerProcess.start(['--data', data]);
      const { peers } = await announce(tracker.url('http'), { infoHash, port: 4, leftBytes: 1 });
      expect(new Set(peers.map(({ port }) => port))).toEqual(new Set([1, 2, 3]));
      tracker.process.child.kill('SIGTERM');
      expect(await tracker.process.exited()).toBe(0);
    }
    await truncate(join(data, 'tracker.state'), 40);
    await using tracker = await TrackerProcess.start(['--data', data]);
    expect(tracker.process.log().map(({ msg }) => msg)).toContain(
      'tracker state was damaged; what was readable is taken up',
    );
    await announce(tracker.url('http'), { infoHash });
  });

  test('stays that of the first when a second is started beside it by mistake', async () => {
    const data = join(folder, 'twice');
    await using first = await TrackerProcess.start(['--data', data]);
    await announce(first.url('http'), { infoHash: randomBytes(20) });
    await until('its state is written', () => existsSync(join(data, 'tracker.state')));
    await expect(TrackerProcess.start(['--data', data, '--listen', `127.0.0.1:${first.port}`])).rejects.toThrow(
      /another program listens there; --listen .*ERR_TRACKER_LISTEN/,
    );
    await expect(TrackerProcess.start(['--admin', `127.0.0.1:${first.adminPort}`])).rejects.toThrow(
      /for the page of the tracker.*--admin HOST:PORT/s,
    );
    await expect(TrackerProcess.start(['--data', join(data, 'tracker.state', 'below')])).rejects.toThrow(
      /ERR_TRACKER_STATE/,
    );
  });
});

describe('a closed tracker', { timeout: 60_000 }, () => {
  let key: SwarmKey;
  let keyFile: string;

  beforeAll(async () => {
    key = generateSwarmKey(randomBytes);
    keyFile = join(folder, 'swarm.key');
    await writeFile(keyFile, key.toFileText(), { mode: 0o600 });
  });

  test('serves foreign clients what a holder of the key announced, over HTTP and UDP', async () => {
    await using tracker = await TrackerProcess.start(['--swarm-key', keyFile]);
    const proof = new TrackerProof(key);
    for (const scheme of ['http', 'udp']) {
      const url = tracker.url(scheme);
      const infoHash = randomBytes(20);
      await expect(announce(url, { infoHash })).rejects.toThrow(/it refused: this torrent is not registered/);
      const stranger = new TrackerProof(generateSwarmKey(randomBytes)).prove(infoHash, Date.now());
      await expect(announce(url, { infoHash, proof: stranger })).rejects.toThrow(
        /proof with it is of another swarm key/,
      );
      await announce(url, { infoHash, port: 7, proof: proof.prove(infoHash, Date.now()) });
      expect((await announce(url, { infoHash, leftBytes: 9 })).peers).toEqual([{ host: '127.0.0.1', port: 7 }]);
    }
    expect(await tracker.stats()).toMatchObject({ torrents: 2, registered: { operator: 0, member: 2 } });
  });

  test('serves what the operator registers, by command and by file, and tells of nothing else', async () => {
    const [named, filed, later] = [1, 2, 3].map((digit) => String(digit).repeat(40)) as [string, string, string];
    const list = join(folder, 'registered');
    const data = join(folder, 'closed');
    await writeFile(list, `# images\n${filed}  # the base\n`);
    const flags = ['--registered', list, '--data', data];
    const bytesOf = (hex: string): Buffer => Buffer.from(hex, 'hex');
    {
      await using tracker = await TrackerProcess.start(flags);
      const url = tracker.url('http');
      await announce(url, { infoHash: bytesOf(filed) });
      const admin = ['tracker', '--listen', '127.0.0.1:0', '--admin', `127.0.0.1:${tracker.adminPort}`];
      expect(await dockyard([...admin, 'register', `magnet:?xt=urn:btih:${named}`, later])).toMatchObject({
        code: 0,
        out: `${named} registered\n${later} registered\n`,
      });
      const forgotten = await dockyard([...admin, 'forget', later, filed, later]);
      expect(forgotten.out).toBe(`${later} forgotten\n${filed} stays: it is in the file of --registered\n`);
      expect(forgotten.err).toContain(`${later} was not registered`);
      await announce(url, { infoHash: bytesOf(named) });
      await expect(announce(url, { infoHash: bytesOf(later) })).rejects.toThrow(/not registered/);
      await writeFile(list, `${later}\n`);
      tracker.process.child.kill('SIGHUP');
      await until('the file is read again', async () =>
        announce(url, { infoHash: bytesOf(later) }).then(
          () => true,
          () => false,
        ),
      );
      await writeFile(list, 'nonsense\n');
      tracker.process.child.kill('SIGHUP');
      expect(await tracker.process.logged('tracker goes on with what was registered')).toMatchObject({ level: 50 });
      await tracker.kill();
    }
    await writeFile(list, '');
    await using again = await TrackerProcess.start(flags);
    await announce(again.url('http'), { infoHash: bytesOf(named) });
    await expect(announce(again.url('http'), { infoHash: bytesOf(filed) })).rejects.toThrow(/not registered/);
    const scraped = `?info_hash=${named.replaceAll(/../g, '%$&')}&info_hash=${filed.replaceAll(/../g, '%$&')}`;
    const answer = Buffer.from(await (await fetch(`http://127.0.0.1:${again.port}/scrape${scraped}`)).arrayBuffer());
    expect(answer.includes(bytesOf(named))).toBe(true);
    expect(answer.includes(bytesOf(filed))).toBe(false);
    const page = await again.admin(`/?q=${named.slice(0, 4)}%22%3E`);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(await page.text()).toContain(
      `<code>${named}</code></td><td>1</td><td>0</td><td>0</td><td>the operator</td>`,
    );
  });

  test.skipIf(!hasAddress)('is told what to serve by this machine alone, and by no web page', async () => {
    await using tracker = await TrackerProcess.start([
      '--access',
      'closed',
      '--data',
      join(folder, 'p'),
      '--admin',
      '0.0.0.0:0',
    ]);
    const path = `/torrents/${'a'.repeat(40)}`;
    const fromAfar = await fetch(`http://${OWN_ADDRESS}:${tracker.adminPort}${path}`, { method: 'PUT' });
    const fromPage = await tracker.admin(path, { method: 'PUT', headers: { origin: 'http://evil.example' } });
    const fromHere = await tracker.admin(path, { method: 'PUT' });
    expect([fromAfar.status, fromPage.status, fromHere.status]).toEqual([403, 403, 200]);
    expect((await tracker.admin('/torrents/x', { method: 'PUT' })).status).toBe(400);
    expect((await tracker.admin(path, { method: 'POST' })).status).toBe(405);
    expect((await tracker.admin('/nothing')).status).toBe(404);
  });
});

test('connections beyond the bound are closed, those within it are served', { timeout: 30_000 }, async () => {
  await using tracker = await TrackerProcess.start(['--max-connections', '5']);
  const held = Array.from({ length: 5 }, () => connect(tracker.port, '127.0.0.1'));
  await Promise.all(held.map(async (socket) => once(socket, 'connect')));
  await until(
    'further ones are closed',
    async () => (await sendRaw(tracker.port, get('/livez'))).length <= 'reset'.length,
  );
  expect(await sendRaw(tracker.port, get('/livez'))).not.toContain('200');
  for (const socket of held) socket.destroy();
  await until('others are served again', async () =>
    (await sendRaw(tracker.port, get('/livez'))).startsWith('HTTP/1.1 200'),
  );
});
