/** Ordinary torrent clients announce at the tracker and find each other through it, and in no other way. */
import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { until } from '../support/programs.ts';
import { makeTestTorrent, requireTorrentClients, TorrentClient } from '../support/tracker-clients.ts';
import { TrackerProcess } from '../support/tracker-process.ts';

/** Clients take no peers on loopback. */
const HOST = Object.values(networkInterfaces())
  .flatMap((infos) => infos ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const hasHost = requirement('an IPv4 address beside loopback', HOST !== undefined, 'connect the machine');
const hasClients = requireTorrentClients(['aria2c', 'transmission', 'rtorrent']);

async function peerCount(tracker: TrackerProcess): Promise<number> {
  const { complete = 0, incomplete = 0 } = await tracker.stats();
  return complete + incomplete;
}

describe.skipIf(!hasHost || !hasClients)('torrent clients', { timeout: 90_000 }, () => {
  // Transmission serves one client of an address and no other after it, so that it is no seeder for several on one machine.
  test.each([
    ['http', 'aria2c', ['transmission', 'rtorrent']],
    ['udp', 'aria2c', ['transmission', 'rtorrent']],
  ] as const)('over %s fetch from %s what it seeds', async (scheme, seeding, fetching) => {
    await using tracker = await TrackerProcess.start(['--listen', '0.0.0.0:0']);
    const torrent = makeTestTorrent('layer', randomBytes(300_000), tracker.url(scheme, HOST));
    await using seeder = await TorrentClient.start(seeding, torrent, 'seed');
    await until(
      () => `the seeder announces\n${seeder.output}`,
      async () => (await tracker.stats())['complete'] === 1,
      30_000,
    );
    await using clients = new AsyncDisposableStack();
    const lacking = new Set<TorrentClient>();
    for (const kind of fetching) lacking.add(clients.use(await TorrentClient.start(kind, torrent, 'fetch')));
    await until(
      () => `these have it, too:\n${[...lacking].map(({ output }) => output).join('\n')}`,
      async () => {
        for (const client of lacking) if (await client.has(torrent)) lacking.delete(client);
        return lacking.size === 0;
      },
      60_000,
    );
    // Whether all of them have said already that they are done is theirs to choose.
    expect(await peerCount(tracker)).toBe(1 + fetching.length);
    await seeder.stop();
    await until('the tracker knows that the seeder went', async () => (await peerCount(tracker)) === fetching.length);
  });
});
