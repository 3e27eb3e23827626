/** Debian's docker-registry as a real upstream. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { requirement } from '../skip-reasons.ts';

/** True when docker-registry can be run; states the requirement otherwise. */
export function requireDockerRegistry(): boolean {
  const isThere = spawnSync('docker-registry', ['--version']).status === 0;
  return requirement('docker-registry', isThere, 'apt-get install docker-registry');
}

export interface DockerRegistry extends AsyncDisposable {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts a registry on a port of its own.
 * @param folder holds `storage` (several registries may share it) and the config file
 * @param auth the `auth` section of its configuration, indented by nothing, empty for none
 */
export async function startDockerRegistry(folder: string, auth: object | undefined): Promise<DockerRegistry> {
  const config = {
    version: '0.1',
    log: { level: 'info' },
    storage: { filesystem: { rootdirectory: join(folder, 'storage') } },
    http: { addr: '127.0.0.1:0' },
    ...(auth === undefined ? {} : { auth }),
  };
  const path = join(folder, `config-${process.hrtime.bigint()}.yml`);
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', path], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (address === undefined) continue;
    child.stderr.resume();
    return { url: `http://${address}`, stop, [Symbol.asyncDispose]: stop };
  }
  await stop();
  throw new Error(`docker-registry did not start: ${lines.join('\n')}`);
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
