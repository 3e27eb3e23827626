/** The client with which commands speak to registries. It is loaded by those commands alone: it brings all that HTTP takes. */
import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { asError } from '../../src/oci/error.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { OriginRegistry } from '../../src/origin/origin-registry.ts';
import { resolveUpstream } from '../../src/origin/upstream-config.ts';
import { ReplaceableCredentials } from '../composition/credentials.ts';
import { defaultDockerConfig } from '../config/defaults.ts';
import type { ProcessFacts } from '../config/option.ts';
import { nodeError } from '../errors.ts';
import type { RegistryPlace } from './registry-access.ts';

/** How often a request is tried again: a person waits. */
const MAX_RETRIES = 2;
/** What a proxy is not asked for, whatever NO_PROXY says. */
const NEVER_PROXIED = 'localhost,127.0.0.0/8,::1';

/**
 * Opens a client of these registries, with the credentials of Docker's configuration file. Whoever opened it closes it.
 * @throws {DockyardError} ERR_USAGE, ERR_CONFIG_UNREADABLE, ERR_UPSTREAM_INVALID
 */
export async function openClients(
  places: readonly RegistryPlace[],
  caFile: string | undefined,
  facts: ProcessFacts,
): Promise<OriginRegistry> {
  const caPem = caFile === undefined ? undefined : await readCertificates(caFile);
  const urls = new Map<string, string>();
  for (const { name, url } of places) {
    const before = urls.get(name);
    if (before !== undefined && before !== url)
      throw nodeError('ERR_USAGE', `${name} is named as ${before} and as ${url}`);
    urls.set(name, url);
  }
  const { environment } = facts;
  const log = pino({ level: 'silent' });
  const context = { facts, earlier: () => undefined };
  const upstreams = [...urls].map(([name, url]) => resolveUpstream({ name, url, caPem, maxRetries: MAX_RETRIES }));
  const noProxy = environment['NO_PROXY'] || environment['no_proxy'] || '';
  const proxy = {
    httpProxy: environment['HTTP_PROXY'] || environment['http_proxy'] || '',
    httpsProxy: environment['HTTPS_PROXY'] || environment['https_proxy'] || '',
    noProxy: noProxy === '' ? NEVER_PROXIED : `${noProxy},${NEVER_PROXIED}`,
  };
  const credentials = new ReplaceableCredentials({ log, clock: systemClock }, defaultDockerConfig(context));
  return new OriginRegistry({ log, metrics: new Registry(), clock: systemClock, credentials }, { upstreams, proxy });
}

async function readCertificates(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw nodeError('ERR_CONFIG_UNREADABLE', `--ca: ${asError(cause).message}`, { cause });
  }
}
