/** Ports that `fetch` refuses although anything may listen there. */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Those of them that need no privileges. @see Fetch Standard, "Port blocking" */
const REFUSED_PORTS = [
  6000, 5060, 5061, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10_080, 1719, 1720, 3659, 4045,
];

/** The first of them, from the `skip`-th on, that is free on loopback. */
export async function freeRefusedPort(skip = 0): Promise<number> {
  for (const port of REFUSED_PORTS.slice(skip)) {
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error('every port that fetch refuses is taken');
}
