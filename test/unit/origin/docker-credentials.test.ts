import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DockerCredentials } from '../../../src/origin/docker-credentials.ts';

const A = { name: 'a.test', url: 'https://a.test' };
let folder = '';
let originalPath: string | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dockyard-credentials-'));
  originalPath = process.env['PATH'];
  process.env['PATH'] = `${folder}${delimiter}${originalPath ?? ''}`;
});

afterEach(async () => {
  process.env['PATH'] = originalPath;
  await rm(folder, { recursive: true, force: true });
});

function makeCredentials(timeoutMs = 5_000): {
  credentials: DockerCredentials;
  clock: { atMs: number; nowMs(): number };
} {
  const clock = {
    atMs: 0,
    nowMs() {
      return this.atMs;
    },
  };
  const config = { configPath: join(folder, 'config.json'), helperTimeoutMs: timeoutMs, keepMs: 60_000 };
  return { credentials: new DockerCredentials({ log: pino({ level: 'silent' }), clock }, config), clock };
}

async function writeConfig(content: unknown): Promise<void> {
  await writeFile(join(folder, 'config.json'), JSON.stringify(content));
}

async function writeHelper(name: string, script: string): Promise<void> {
  const path = join(folder, `docker-credential-${name}`);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
}

test('without the file there are no credentials', async () => {
  expect(await makeCredentials().credentials.credentialsFor(A)).toBeUndefined();
});

test('a helper is asked for the server on its standard input', async () => {
  await writeConfig({ credHelpers: { 'a.test': 'mine' } });
  await writeHelper(
    'mine',
    `cat > ${folder}/asked; echo "$1" >> ${folder}/asked; echo '{"Username":"me","Secret":"s3cret"}'`,
  );
  const found = await makeCredentials().credentials.credentialsFor(A);
  expect(found).toEqual({ kind: 'basic', username: 'me', password: 's3cret' });
  expect(await readFile(join(folder, 'asked'), 'utf8')).toBe('a.test\nget\n');
});

test('Docker Hub is asked for under its old URL, and a <token> is an identity token', async () => {
  await writeConfig({ credsStore: 'mine' });
  await writeHelper('mine', `read server; echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"$server\\"}"`);
  const found = await makeCredentials().credentials.credentialsFor({
    name: 'docker.io',
    url: 'https://registry-1.docker.io',
  });
  expect(found).toEqual({ kind: 'identity-token', token: 'https://index.docker.io/v1/' });
});

test('a helper that holds nothing lets the file speak', async () => {
  await writeConfig({ credsStore: 'mine', auths: { 'a.test': { username: 'me', password: 'p' } } });
  await writeHelper('mine', 'echo "credentials not found in native keychain"; exit 1');
  expect(await makeCredentials().credentials.credentialsFor(A)).toEqual({
    kind: 'basic',
    username: 'me',
    password: 'p',
  });
});

test.each([
  ['fails', 'echo boom; exit 3'],
  ['prints nonsense', 'echo hello'],
  ['hangs', 'exec sleep 60'],
])('a helper that %s is an error with its code', async (_how, script) => {
  await writeConfig({ credHelpers: { 'a.test': 'mine' } });
  await writeHelper('mine', script);
  const { credentials } = makeCredentials(300);
  await expect(credentials.credentialsFor(A)).rejects.toMatchObject({ code: 'ERR_CREDENTIALS_UNREADABLE' });
});

test('a helper that is not installed is an error with its code', async () => {
  await writeConfig({ credHelpers: { 'a.test': 'absent' } });
  await expect(makeCredentials().credentials.credentialsFor(A)).rejects.toMatchObject({
    code: 'ERR_CREDENTIALS_UNREADABLE',
  });
});

test('an answer is kept for a while, and read anew when it was refused or has grown old', async () => {
  const { credentials, clock } = makeCredentials();
  await writeConfig({ auths: { 'a.test': { username: 'me', password: 'one' } } });
  expect(await credentials.credentialsFor(A)).toMatchObject({ password: 'one' });
  await writeConfig({ auths: { 'a.test': { username: 'me', password: 'two' } } });
  expect(await credentials.credentialsFor(A)).toMatchObject({ password: 'one' });
  credentials.refused(A);
  expect(await credentials.credentialsFor(A)).toMatchObject({ password: 'two' });
  await writeConfig({ auths: { 'a.test': { username: 'me', password: 'three' } } });
  clock.atMs += 60_000;
  expect(await credentials.credentialsFor(A)).toMatchObject({ password: 'three' });
});
