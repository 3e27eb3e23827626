import { describe, expect, test } from 'vitest';
import { referenceOf, RegistryNames } from '../../../../node/cli/registry-access.ts';
import { makeFacts } from '../config/facts.ts';

const facts = makeFacts();
const DIGEST = `sha256:${'a'.repeat(64)}`;

function read(text: string, registry?: string): { url: string; upstream: string; name: string; reference: string } {
  const image = new RegistryNames(registry === undefined ? {} : { registry }, facts).image(text);
  const reference = referenceOf(image);
  return {
    url: image.registry.url,
    upstream: image.repository.upstream,
    name: image.repository.name,
    reference: reference.kind === 'tag' ? reference.tag : reference.digest,
  };
}

describe('the name of an image', () => {
  test.each([
    ['app', 'http://127.0.0.1:5000', 'app', 'latest'],
    ['team/app:v1', 'http://127.0.0.1:5000', 'team/app', 'v1'],
    [`team/app:v1@${DIGEST}`, 'http://127.0.0.1:5000', 'team/app', DIGEST],
    ['localhost:5001/app:1', 'http://localhost:5001', 'app', '1'],
    ['[::1]:5001/app', 'http://[::1]:5001', 'app', 'latest'],
    ['ghcr.io/team/app', 'https://ghcr.io', 'team/app', 'latest'],
    ['http://registry.lan:5000/team/app:v1', 'http://registry.lan:5000', 'team/app', 'v1'],
    ['http://registry/team/app:v1', 'http://registry', 'team/app', 'v1'],
    ['https://localhost:5443/app', 'https://localhost:5443', 'app', 'latest'],
    ['docker.io/alpine', 'https://registry-1.docker.io', 'library/alpine', 'latest'],
    ['index.docker.io/user/app', 'https://registry-1.docker.io', 'user/app', 'latest'],
    ['127.0.0.1:5000/docker.io/library/alpine', 'http://127.0.0.1:5000', 'docker.io/library/alpine', 'latest'],
  ])('%s is at %s', (text, url, name, reference) => {
    expect(read(text)).toMatchObject({ url, name, reference });
  });

  test('without a host is of the registry that was named', () => {
    expect(read('team/app', 'seed.lan:5000')).toMatchObject({ url: 'https://seed.lan:5000', name: 'team/app' });
    expect(read('team/app', 'http://seed.lan:5000/')).toMatchObject({ url: 'http://seed.lan:5000' });
    expect(read('alpine', 'docker.io')).toMatchObject({ upstream: 'docker.io', name: 'library/alpine' });
  });

  test('is of the node that the environment names', () => {
    const named = makeFacts({ environment: { DOCKYARD_LISTEN: '127.0.0.1:7000', DOCKYARD_REGISTRY: '' } });
    expect(new RegistryNames({}, named).usual.url).toBe('http://127.0.0.1:7000');
  });

  test.each(['team/Case', 'a//b', 'app:', 'app@sha256:1', '', 'http:///app', 'http://host', 'host:99999999/app'])(
    '%j is refused',
    (text) => {
      expect(() => read(text)).toThrow(/is not an image reference|names no registry/);
    },
  );

  test.each(['', 'a/b', 'ftp://host', 'host:port'])('%j names no registry', (text) => {
    expect(() => new RegistryNames({ registry: text }, facts)).toThrow(/names no registry/);
  });
});
