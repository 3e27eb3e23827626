/** Credentials out of Docker's `config.json` and the helpers that it names. */
import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { askCredentialHelper } from './credential-helper.ts';
import type { Credentials, CredentialSource } from './credentials.ts';
import { parseDockerConfig, registryHosts, type CredentialPlace } from './docker-config.ts';
import { originError } from './errors.ts';
import { JointRequests } from './joint-requests.ts';

export interface DockerCredentialsDeps {
  readonly log: Logger;
  readonly clock: Pick<Clock, 'nowMs'>;
}

export interface DockerCredentialsConfig {
  /** Path of the file; it need not exist. */
  readonly configPath: string;
  /** How long a helper may take. */
  readonly helperTimeoutMs: number;
  /** How long an answer is used before file and helpers are asked again. */
  readonly keepMs: number;
}

export const DOCKER_CREDENTIALS_DEFAULTS = { helperTimeoutMs: 10_000, keepMs: 60_000 } as const;

type Upstream = Parameters<CredentialSource['credentialsFor']>[0];

export class DockerCredentials implements CredentialSource {
  readonly #deps: DockerCredentialsDeps;
  readonly #config: DockerCredentialsConfig;
  readonly #kept = new Map<string, { readonly credentials: Credentials | undefined; readonly untilMs: number }>();
  readonly #joint = new JointRequests<Credentials | undefined>();

  constructor(deps: DockerCredentialsDeps, config: DockerCredentialsConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async credentialsFor(
    upstream: Upstream,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Credentials | undefined> {
    const key = JSON.stringify([upstream.name, upstream.url]);
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#deps.clock.nowMs() < kept.untilMs) return kept.credentials;
    const work = async (signal: AbortSignal): Promise<Credentials | undefined> => {
      const credentials = await this.#lookUp(upstream, signal);
      this.#kept.set(key, { credentials, untilMs: this.#deps.clock.nowMs() + this.#config.keepMs });
      return credentials;
    };
    return await this.#joint.run(key, work, options);
  }

  refused(upstream: Upstream): void {
    this.#kept.delete(JSON.stringify([upstream.name, upstream.url]));
  }

  async #lookUp(upstream: Upstream, signal: AbortSignal): Promise<Credentials | undefined> {
    for (const place of await this.#places(upstream, signal)) {
      if (place.kind === 'inline') return place.credentials;
      const { helperTimeoutMs: timeoutMs } = this.#config;
      const found = await askCredentialHelper({ ...place, timeoutMs }, { signal });
      if (found === undefined) continue;
      this.#deps.log.debug({ upstream: upstream.name, helper: place.helper }, 'credentials taken from a helper');
      return found;
    }
    return undefined;
  }

  async #places(upstream: Upstream, signal: AbortSignal): Promise<readonly CredentialPlace[]> {
    let text: string;
    try {
      text = await readFile(this.#config.configPath, { encoding: 'utf8', signal });
    } catch (cause) {
      signal.throwIfAborted();
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw originError('ERR_CREDENTIALS_UNREADABLE', `${this.#config.configPath} cannot be read`, { cause });
    }
    return parseDockerConfig(text).placesFor(registryHosts(upstream));
  }
}
