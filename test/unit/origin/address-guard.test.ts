import { describe, expect, test } from 'vitest';
import { isSameSite, registrableDomain } from '../../../src/origin/address-guard.ts';

describe('whether two hosts have one owner', () => {
  test.each([
    ['registry-1.docker.io', 'auth.docker.io'],
    ['registry.gitlab.com', 'gitlab.com'],
    ['ghcr.io', 'ghcr.io'],
    ['127.0.0.1', '127.0.0.1'],
    ['registry.corp.co.uk', 'login.corp.co.uk'],
    ['localhost', 'localhost'],
  ])('%s and %s have', (hostA, hostB) => {
    expect(isSameSite(hostA, hostB)).toBe(true);
  });

  test.each([
    ['registry-1.docker.io', 'auth.docker.io.evil.com'],
    ['registry.example.com', 'evil.com'],
    ['example.co.uk', 'evil.co.uk'],
    ['mine.azurecr.io', 'theirs.azurecr.io'],
    ['a.github.io', 'b.github.io'],
    ['10.0.0.1', '10.0.0.2'],
    ['docker.io', 'notdocker.io'],
    ['one', 'two'],
  ])('%s and %s have not', (hostA, hostB) => {
    expect(isSameSite(hostA, hostB)).toBe(false);
  });

  test('an address has no registrable domain', () => {
    expect(registrableDomain('192.168.0.1')).toBeUndefined();
  });
});
