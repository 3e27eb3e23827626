/** A token server as docker-registry trusts it: signed tokens for those who know the password. */
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestCertificate } from '../unit/origin/tls-fixture.ts';

export const TOKEN_SERVICE = 'registry.test';
export const TOKEN_ISSUER = 'issuer.test';

export interface TokenServer extends AsyncDisposable {
  readonly url: string;
  /** How many tokens were given. */
  readonly given: { count: number };
}

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A JWT in the form of the distribution specification, with the certificate in `x5c`. */
function signToken(certificate: TestCertificate, scope: string): string {
  const [type = '', name = '', actions = ''] = scope.split(':');
  const nowSeconds = Math.floor(Date.now() / 1000);
  const header = { typ: 'JWT', alg: 'RS256', x5c: [new X509Certificate(certificate.cert).raw.toString('base64')] };
  const claims = {
    iss: TOKEN_ISSUER,
    sub: 'me',
    aud: TOKEN_SERVICE,
    exp: nowSeconds + 300,
    nbf: nowSeconds - 10,
    iat: nowSeconds,
    jti: randomUUID(),
    access: [{ type, name, actions: actions.split(',') }],
  };
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), createPrivateKey(certificate.key)).toString('base64url')}`;
}

/** Starts the server on loopback. */
export async function startTokenServer(
  certificate: TestCertificate,
  login: { username: string; password: string },
): Promise<TokenServer> {
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const given = { count: 0 };
  const server = createServer((request: IncomingMessage, response) => {
    if (request.headers.authorization !== expected) return void response.writeHead(401).end('{}');
    given.count += 1;
    const { searchParams } = new URL(request.url ?? '', 'http://localhost');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: signToken(certificate, searchParams.get('scope') ?? ''), expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}/token`, given, [Symbol.asyncDispose]: stop };
}
