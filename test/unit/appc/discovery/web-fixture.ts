/** A web site on loopback whose pages a test writes, and a client for it. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { WebClient, type WebClientConfig } from '../../../../src/appc/discovery/web-client.ts';
import { NO_CREDENTIALS, type CredentialSource } from '../../../../src/origin/credentials.ts';
import { NO_PROXY } from '../../../../src/origin/upstream-config.ts';
import { makeCertificate, type TestCertificate } from '../../origin/tls-fixture.ts';

/** What is answered: a page, or whatever the function writes. */
export type Page = string | Buffer | ((request: IncomingMessage, response: ServerResponse) => void);

/** A site. */
export interface TestSite extends AsyncDisposable {
  readonly port: number;
  readonly origin: string;
  /** Certificate of the site where it speaks https. */
  readonly caPem: string | undefined;
  /** By the path with its query. */
  readonly pages: Map<string, Page>;
  /** Paths that were asked for, in order. */
  readonly asked: string[];
  /** The `Authorization` that came with each. */
  readonly authorizations: (string | undefined)[];
}

/** All sites of one test process have it: of several with one subject, only one would be trusted. */
let certificateOfAll: Promise<TestCertificate> | undefined;

/** Opens a site. */
export async function openSite(scheme: 'http' | 'https'): Promise<TestSite> {
  const pages = new Map<string, Page>();
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    asked.push(request.url ?? '');
    authorizations.push(request.headers.authorization);
    const page = pages.get(request.url ?? '');
    if (typeof page === 'function') page(request, response);
    else if (page === undefined) response.writeHead(404).end('not here');
    else response.end(page);
  };
  if (scheme === 'https') certificateOfAll ??= makeCertificate();
  const certificate = scheme === 'https' ? await certificateOfAll : undefined;
  const server = certificate === undefined ? createServer(answer) : createTlsServer(certificate, answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    origin: `${scheme}://127.0.0.1:${port}`,
    caPem: certificate?.cert,
    pages,
    asked,
    authorizations,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A client that waits for nothing long. */
export function openClient(
  config: Partial<WebClientConfig> = {},
  credentials: CredentialSource = NO_CREDENTIALS,
): WebClient {
  const resolveHost = () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]);
  return new WebClient(
    { resolveHost, credentials },
    {
      proxy: NO_PROXY,
      allowHttp: true,
      allowPrivate: false,
      caPem: undefined,
      connectTimeoutMs: 2_000,
      progressTimeoutMs: 2_000,
      ...config,
    },
  );
}
