/** Debian's docker-registry as a real upstream. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { requirement } from '../skip-reasons.ts';
import { freePort, isInstalled, until } from './programs.ts';

/** True when docker-registry can be run; states the requirement otherwise. */
export function requireDockerRegistry(): boolean {
  return requirement('docker-registry', isInstalled('docker-registry'), 'apt-get install docker-registry');
}

/** The one account of a registry with HTPASSWD. */
export const LOGIN = { username: 'me', password: 's3cret' };

/** LOGIN, hashed by bcrypt: the one form of htpasswd that docker-registry takes. */
export const HTPASSWD = 'me:$2b$04$.BqkbEbTddnUPpJTyyRAv.9B4JzucAepBsb5.CrmxrspF1nLDI/f6\n';

/** A request that the registry has answered. */
export interface AnsweredRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Bytes of the body that were written. */
  readonly sentBytes: number;
}

export interface DockerRegistry extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** All requests that were answered to their end, oldest first. A line comes some moments after its answer. */
  requests(): readonly AnsweredRequest[];
  stop(): Promise<void>;
}

/** What can be chosen of a registry. */
export interface DockerRegistryOptions {
  /** The `auth` section of its configuration; without one everybody may do everything. */
  readonly auth?: object | undefined;
  /** Default: one that the system chooses. */
  readonly port?: number | undefined;
  /** As fast as it can be: it logs errors alone, and remembers what it knows of blobs. `requests` stays empty. */
  readonly isFast?: boolean | undefined;
}

/**
 * Starts a registry.
 * @param folder holds `storage` (several registries may share it) and the config file
 */
export async function startDockerRegistry(
  folder: string,
  options: DockerRegistryOptions = {},
): Promise<DockerRegistry> {
  const isFast = options.isFast === true;
  // Where it logs errors alone, it does not tell which port the system chose.
  const chosenPort = options.port ?? (isFast ? await freePort() : 0);
  const config = {
    version: '0.1',
    log: isFast ? { level: 'error', accesslog: { disabled: true } } : { level: 'info' },
    storage: {
      filesystem: { rootdirectory: join(folder, 'storage') },
      ...(isFast ? { cache: { blobdescriptor: 'inmemory' } } : {}),
    },
    http: { addr: `127.0.0.1:${chosenPort}` },
    ...(options.auth === undefined ? {} : { auth: options.auth }),
  };
  const path = join(folder, `config-${process.hrtime.bigint()}.yml`);
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', path], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  const requests: AnsweredRequest[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => requests.push(...parseAccessLine(line)));
  const lines: string[] = [];
  const running = (port: number): DockerRegistry => {
    const url = `http://127.0.0.1:${port}`;
    return { url, port, requests: () => requests, stop, [Symbol.asyncDispose]: stop };
  };
  if (isFast) {
    child.stderr.on('data', (chunk: Buffer) => lines.push(chunk.toString()));
    const url = `http://127.0.0.1:${chosenPort}/v2/`;
    await until(
      () => `docker-registry answers: ${lines.join('')}`,
      async () =>
        await fetch(url).then(
          (answer) => answer.ok,
          () => false,
        ),
    );
    return running(chosenPort);
  }
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.resume();
    return running(Number(port));
  }
  await stop();
  throw new Error(`docker-registry did not start: ${lines.join('\n')}`);
}

/** One line in the combined log format, or nothing. */
function parseAccessLine(line: string): AnsweredRequest[] {
  const [, method, path, status, sentBytes] = /"([A-Z]+) (\S+) HTTP[^"]*" (\d+) (\d+|-)/.exec(line) ?? [];
  if (method === undefined || path === undefined) return [];
  return [{ method, path, status: Number(status), sentBytes: Number(sentBytes) || 0 }];
}

async function mustSucceed(answer: Response): Promise<Response> {
  if (!answer.ok) throw new Error(`${answer.url} answers ${answer.status}: ${await answer.text()}`);
  return answer;
}

/** Pushes a blob to a registry without authentication. */
export async function pushBlob(url: string, name: string, bytes: Buffer): Promise<Digest> {
  const digest = digestOf(bytes);
  const opened = await mustSucceed(await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: 'POST' }));
  const location = new URL(opened.headers.get('location') ?? '', url);
  location.searchParams.set('digest', digest);
  const headers = { 'content-type': 'application/octet-stream' };
  await mustSucceed(await fetch(location, { method: 'PUT', body: new Uint8Array(bytes), headers }));
  return digest;
}

/** Pushes a manifest to a registry without authentication. */
export async function pushManifest(
  url: string,
  name: string,
  tag: string,
  mediaType: string,
  bytes: Buffer,
): Promise<Digest> {
  const headers = { 'content-type': mediaType };
  await mustSucceed(
    await fetch(`${url}/v2/${name}/manifests/${tag}`, { method: 'PUT', body: new Uint8Array(bytes), headers }),
  );
  return digestOf(bytes);
}
