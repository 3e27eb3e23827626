/** App container images of a seed: what is configured, and the server over the seed's repositories. */
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { ACI_LIMITS } from '../../src/appc/archive/aci-inspection.ts';
import { AppcServer, type AppcServerConfig } from '../../src/appc/server/appc-server.ts';
import { parsePushers } from '../../src/appc/server/push-guard.ts';
import { SeedAciShelf, type SeedAciShelfDeps } from '../../src/appc/server/seed-aci-shelf.ts';
import { readKeyring, type KeyFile } from '../../src/appc/signature/keyring.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { RepositoryName } from '../../src/oci/name.ts';
import { asError } from '../../src/oci/error.ts';
import { systemClock } from '../../src/origin/clock.ts';
import type { SideDoor } from '../../src/registry/side-door.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { readNamedText } from './named-file.ts';

/**
 * Reads what the configuration names; `undefined` where app container images are not served.
 * @throws {DockyardError} ERR_CONFIG_UNREADABLE, ERR_KEY_INVALID, ERR_PUSHERS_INVALID
 */
export async function appcConfig({ appc, torrent }: NodeConfig): Promise<AppcServerConfig | undefined> {
  const { enabled, keys, unsigned: allowUnsigned, url, users } = appc;
  if (!enabled) return undefined;
  const keyring = await readKeyring(await Promise.all(keys.map(readKeyFile)));
  const text = await readNamedText(users, 'appc.users');
  const pushers = text === undefined ? [] : parsePushers(text, users ?? '');
  const torrentPath = (digest: Digest, name: RepositoryName): string => `/torrents/${name}/${digest}.torrent`;
  return {
    url,
    keyring,
    allowUnsigned,
    pushers,
    torrentPath: torrent.enabled ? torrentPath : undefined,
    limits: ACI_LIMITS,
  };
}

/** The server, as a side door of the facade. */
export function createAppcDoor(
  { log, ...seed }: SeedAciShelfDeps & { readonly log: Logger },
  config: AppcServerConfig,
): SideDoor {
  const server = new AppcServer(
    {
      shelf: new SeedAciShelf(seed),
      clock: systemClock,
      onPublished: ({ aci, imageId, key }) =>
        log.info({ component: 'appc', ...key, imageId, digest: aci.digest }, 'app container image published'),
    },
    config,
  );
  return { route: 'appc', answer: async (request) => await server.answer(request) };
}

async function readKeyFile(path: string): Promise<KeyFile> {
  try {
    return { name: path, bytes: await readFile(path) };
  } catch (cause) {
    throw nodeError('ERR_CONFIG_UNREADABLE', `appc.keys: cannot read ${path}: ${asError(cause).message}`, { cause });
  }
}
