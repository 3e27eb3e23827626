import { expect, test } from 'vitest';
import { canonicalUpstream, repositoryAt } from '../../../src/oci/docker-hub.ts';

test('all hosts of Docker Hub are one upstream, in whatever case they are written', () => {
  for (const name of ['docker.io', 'Index.Docker.IO', 'registry-1.docker.io']) {
    expect(canonicalUpstream(name)).toBe('docker.io');
  }
  expect(canonicalUpstream('GHCR.io')).toBe('ghcr.io');
});

test('a name without a folder is of the library at Docker Hub, and only there', () => {
  expect(repositoryAt('docker.io', 'alpine').name).toBe('library/alpine');
  expect(repositoryAt('registry-1.docker.io', 'alpine')).toEqual({
    upstream: 'registry-1.docker.io',
    name: 'library/alpine',
  });
  expect(repositoryAt('docker.io', 'user/app').name).toBe('user/app');
  expect(repositoryAt('ghcr.io', 'alpine').name).toBe('alpine');
  expect(() => repositoryAt('docker.io', '')).toThrow(/name/);
});
