/**
 * Docker's credential helpers: programs named `docker-credential-<helper>`, asked on standard input.
 * @see docker/docker-credential-helpers, "Development"
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { Credentials } from './credentials.ts';
import { originError } from './errors.ts';

/** The longest answer that is read. */
const ANSWER_LIMIT_BYTES = 256 * 1024;

/** What helpers print, on either stream, when they simply hold nothing. */
const NOT_FOUND = /credentials not found/i;

/** The user name by which helpers mark a refresh token. */
const TOKEN_USERNAME = '<token>';

/**
 * Asks a helper for a server's credentials; `undefined` when it holds none.
 * @throws {DockyardError} ERR_CREDENTIALS_UNREADABLE when it fails, or answers not within `timeoutMs`; the signal's reason
 */
export async function askCredentialHelper(
  asked: { readonly helper: string; readonly server: string; readonly timeoutMs: number },
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Credentials | undefined> {
  options.signal?.throwIfAborted();
  const program = `docker-credential-${asked.helper}`;
  const timeout = AbortSignal.timeout(asked.timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  try {
    const child = spawn(program, ['get'], { signal, killSignal: 'SIGKILL' });
    child.stderr.resume();
    const { code, output } = await converse(child, `${asked.server}\n`);
    if (code !== 0 && NOT_FOUND.test(output)) return undefined;
    if (code !== 0) throw new Error(`exit code ${code ?? 'none'}`);
    return parseHelperAnswer(output);
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw originError('ERR_CREDENTIALS_UNREADABLE', `the credential helper '${program}' gives no answer of use`, {
      cause,
      details: { helper: program, server: asked.server },
    });
  }
}

async function converse(
  child: ChildProcessWithoutNullStreams,
  input: string,
): Promise<{ code: number | null; output: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | null; output: string }>();
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  child.on('error', reject);
  // A helper that ends without reading closes the pipe; its exit code says the rest.
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes <= ANSWER_LIMIT_BYTES) chunks.push(chunk);
    else child.kill('SIGKILL');
  });
  child.on('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString('utf8') }));
  child.stdin.end(input);
  return await promise;
}

function parseHelperAnswer(output: string): Credentials | undefined {
  const { Username: username, Secret: secret } = JSON.parse(output) as { Username?: unknown; Secret?: unknown };
  if (typeof username !== 'string' || typeof secret !== 'string') throw new TypeError('Username or Secret is missing');
  if (secret === '') return undefined;
  if (username === TOKEN_USERNAME) return { kind: 'identity-token', token: secret };
  return username === '' ? undefined : { kind: 'basic', username, password: secret };
}
