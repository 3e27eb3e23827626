/** Credentials out of Docker's configuration file, whose path may change while the node runs. */
import type { Logger } from 'pino';
import type { Clock } from '../../src/origin/clock.ts';
import { NO_CREDENTIALS, type CredentialSource } from '../../src/origin/credentials.ts';
import { DOCKER_CREDENTIALS_DEFAULTS, DockerCredentials } from '../../src/origin/docker-credentials.ts';

/** A source that can be pointed at another file. */
export class ReplaceableCredentials implements CredentialSource {
  readonly #deps: { readonly log: Logger; readonly clock: Clock };
  #current: CredentialSource = NO_CREDENTIALS;

  constructor(deps: { readonly log: Logger; readonly clock: Clock }, configPath: string | undefined) {
    this.#deps = deps;
    this.use(configPath);
  }

  /** Takes credentials from this file from now on, from none when it is `undefined`. What was read before is forgotten. */
  use(configPath: string | undefined): void {
    this.#current =
      configPath === undefined
        ? NO_CREDENTIALS
        : new DockerCredentials(this.#deps, { configPath, ...DOCKER_CREDENTIALS_DEFAULTS });
  }

  credentialsFor(
    ...request: Parameters<CredentialSource['credentialsFor']>
  ): ReturnType<CredentialSource['credentialsFor']> {
    return this.#current.credentialsFor(...request);
  }

  refused(...request: Parameters<CredentialSource['refused']>): void {
    this.#current.refused(...request);
  }
}
