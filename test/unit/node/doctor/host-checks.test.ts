import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CheckReport } from '../../../../node/admin/reports.ts';
import { checkClients } from '../../../../node/doctor/host-checks.ts';
import { installMirror } from '../../../../node/mirror/install.ts';
import { SYSTEM_SCOPE } from '../../../../node/mirror/scope.ts';

const URL = 'http://127.0.0.1:5000';
let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dockyard-doctor-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function look(served: readonly string[] | undefined): Promise<CheckReport[]> {
  return await checkClients(root, [SYSTEM_SCOPE], { url: URL, served });
}

test('a client that sends the node what it does not serve is told of, with the flag that helps', async () => {
  const request = { url: URL, registries: ['docker.io', 'ghcr.io'], setConfigPath: false };
  await installMirror('podman', root, request);
  expect(await look(['docker.io'])).toMatchObject([
    {
      name: 'client podman',
      state: 'warn',
      seen: expect.stringMatching(/sends docker\.io, ghcr\.io to .*, which does not serve ghcr\.io$/),
      remedy: expect.stringContaining('--upstream ghcr.io=https://ghcr.io'),
    },
  ]);
  expect(await look(['registry-1.docker.io', 'GHCR.io'])).toMatchObject([{ state: 'ok' }]);
  expect(await look(undefined)).toMatchObject([{ state: 'ok' }]);
});

test('a client that sends everything goes on by itself where the node does not serve it', async () => {
  const path = join(root, 'etc/docker/certs.d/_default/hosts.toml');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `[host."${URL}"]\n`);
  expect(await look(['docker.io'])).toMatchObject([{ name: 'client docker', state: 'ok' }]);
});

test('a host without a client that is pointed at the node is told how to point one', async () => {
  expect(await look(['docker.io'])).toMatchObject([{ name: 'clients', state: 'warn' }]);
});
