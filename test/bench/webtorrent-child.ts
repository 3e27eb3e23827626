/** WebTorrent alone, as its users run it: seeds one file of a folder. Arguments: the torrent file, the folder. */
import { readFileSync } from 'node:fs';
import WebTorrent from 'webtorrent';

const [torrentFile = '', folder = ''] = process.argv.slice(2);
const client = new WebTorrent({
  torrentPort: { host: '127.0.0.1', port: 0 },
  dht: false,
  lsd: false,
  utPex: false,
  utp: false,
  natUpnp: false,
  natPmp: false,
  tracker: { wrtc: false },
  maxConns: 55,
  uploadLimit: -1,
  downloadLimit: -1,
  secure: 1,
  userAgent: 'WebTorrent',
});
client.add(readFileSync(torrentFile), { path: folder, skipVerify: true });
