/** aria2c, which fetches what a torrent is of and ends. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeMetainfo } from '../../src/torrent/metainfo.ts';
import { parseMetainfo } from '../../src/torrent/parse-metainfo.ts';
import { freePort, run, type ProgramResult } from './programs.ts';

/** Gets a torrent of a node, and leaves out of it what would lead to the content without a peer. `what` is its path. */
export async function saveTorrent(
  facade: string,
  what: string,
  folder: string,
): Promise<{ readonly path: string; readonly infoHash: string }> {
  const response = await fetch(`http://${facade}/torrents/${what}.torrent`);
  if (!response.ok) throw new Error(`no torrent of ${what}: ${response.status} ${await response.text()}`);
  const metainfo = parseMetainfo(Buffer.from(await response.arrayBuffer()));
  const path = join(folder, `${metainfo.info.infoHash}.torrent`);
  await writeFile(path, encodeMetainfo({ ...metainfo, webSeeds: [] }));
  return { path, infoHash: metainfo.info.infoHash };
}

/** Fetches what a torrent is of, by its trackers and web seeds alone unless flags say otherwise. */
export async function fetchByAria(
  torrentFile: string,
  directory: string,
  flags: readonly string[] = [],
): Promise<ProgramResult> {
  const quiet = ['--no-conf', '--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false', '--disable-ipv6'];
  const once = ['--seed-time=0', '--enable-peer-exchange=false', '--bt-stop-timeout=30', `--dir=${directory}`];
  return await run('aria2c', [...quiet, ...once, `--listen-port=${await freePort()}`, ...flags, torrentFile]);
}
