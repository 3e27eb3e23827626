/** An origin that wants a login: the node has it, its clients do not. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../skip-reasons.ts';
import { requireContainerd, TestContainerd } from '../support/containerd-process.ts';
import {
  HTPASSWD,
  LOGIN,
  requireDockerRegistry,
  startDockerRegistry,
  type DockerRegistry,
} from '../support/docker-registry.ts';
import { blobsOf, makeRandomImage, pushImage, type Image } from '../support/image-builder.ts';
import { NodeProcess } from '../support/node-process.ts';
import { isInstalled, run, type ProgramResult } from '../support/programs.ts';

const MIB = 1024 * 1024;
const UPSTREAM = 'private.test';
const NAME = 'team/secret:1';

const hasPrograms = [
  requireDockerRegistry(),
  requirement('skopeo', isInstalled('skopeo'), 'apt-get install skopeo'),
].every(Boolean);
const hasContainerd = requireContainerd();

describe.skipIf(!hasPrograms)('an origin with basic authentication', () => {
  let folder = '';
  let registry: DockerRegistry;
  let image: Image;
  let nodeCount = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dockyard-auth-'));
    image = makeRandomImage(4 * MIB, 3_000);
    {
      // Both registries have the same storage.
      await using open = await startDockerRegistry(folder);
      await pushImage(`127.0.0.1:${open.port}/${NAME}`, image);
    }
    await writeFile(join(folder, 'htpasswd'), HTPASSWD);
    await writeFile(join(folder, 'password'), `${LOGIN.password}\n`);
    const auth = {
      htpasswd: { realm: 'test', path: join(folder, 'htpasswd') },
    };
    registry = await startDockerRegistry(folder, { auth });
  });

  afterAll(async () => {
    await registry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function startNode(upstream: object, environment: Record<string, string> = {}): Promise<NodeProcess> {
    const file = join(folder, `node-${(nodeCount += 1)}.yaml`);
    // JSON is YAML.
    await writeFile(
      file,
      JSON.stringify({
        upstreams: { [UPSTREAM]: { url: registry.url, ...upstream } },
      }),
    );
    const data = ['--data', join(folder, `data-${nodeCount}`), '--config', file];
    return await NodeProcess.start(data, {
      DOCKER_CONFIG: join(folder, 'no-docker-config'),
      ...environment,
    });
  }

  async function writeDockerConfig(password: string): Promise<string> {
    const auth = Buffer.from(`${LOGIN.username}:${password}`).toString('base64');
    const path = await mkdtemp(join(folder, 'docker-'));
    await writeFile(join(path, 'config.json'), JSON.stringify({ auths: { [UPSTREAM]: { auth } } }));
    return path;
  }

  /** A client without any login. */
  async function pull(node: NodeProcess): Promise<ProgramResult> {
    const target = await mkdtemp(join(folder, 'copied-'));
    const source = `docker://${node.facade}/${UPSTREAM}/${NAME}`;
    return await run('skopeo', [
      'copy',
      '--insecure-policy',
      '--src-no-creds',
      '--src-tls-verify=false',
      source,
      `dir:${target}`,
    ]);
  }

  test('is read with the login of the configuration, whose password is in a file', async () => {
    await using node = await startNode({
      username: LOGIN.username,
      passwordFile: join(folder, 'password'),
    });
    const { exitCode, output } = await pull(node);
    expect(exitCode, output).toBe(0);
    expect(node.err + node.out).not.toContain(LOGIN.password);
  });

  test("is read with the login of docker's config.json", async () => {
    await using node = await startNode({}, { DOCKER_CONFIG: await writeDockerConfig(LOGIN.password) });
    const { exitCode, output } = await pull(node);
    expect(exitCode, output).toBe(0);
    expect(node.err + node.out).not.toContain(LOGIN.password);
  });

  test.skipIf(!hasContainerd)('is read by containerd through a node that has the login', async () => {
    await using containerd = await TestContainerd.open();
    await using node = await startNode({
      username: LOGIN.username,
      password: LOGIN.password,
    });
    const { exitCode, output } = await containerd.pull(`${UPSTREAM}/${NAME}`, [`http://${node.facade}`]);
    expect(exitCode, output).toBe(0);
    for (const digest of blobsOf(image)) expect(await containerd.digestOfHeld(digest)).toBe(digest);
  });

  test.each([
    ['without a login', undefined],
    ['with a wrong password', 'not the password'],
  ])('refuses %s, and the client is told why without the password', async (_, password) => {
    const environment = password === undefined ? {} : { DOCKER_CONFIG: await writeDockerConfig(password) };
    await using node = await startNode({}, environment);
    const { exitCode, output } = await pull(node);
    expect(exitCode).not.toBe(0);
    expect(output).toMatch(/denied|unauthorized|authentication required/i);
    const answer = await fetch(`http://${node.facade}/v2/${NAME.replace(':', '/manifests/')}?ns=${UPSTREAM}`);
    // A challenge would make clients ask their users for a login that the node could not use.
    expect(answer.headers.get('www-authenticate')).toBeNull();
    expect(await answer.text()).toContain('give the node credentials');
    if (password !== undefined) expect(node.err + node.out).not.toContain(password);
  });
});
