import { globSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DockyardError, type ErrorDescription } from '../../../src/oci/error.ts';
import { REGISTRY_ERROR_CODES } from '../../../src/oci/errors.ts';
import { ERROR_TABLE, toPublicError } from '../../../src/registry/error-table.ts';

const ROOT = new URL('../../../', import.meta.url);

/** They stand beside the facade; what fails there is told to operators, never to clients. */
const NOT_BELOW = ['src/notify/errors.ts', 'src/images/errors.ts'];

/** Every code of every layer's table, found by the shape of its exports. */
async function codesOfAllLayers(): Promise<string[]> {
  const codes: string[] = [];
  for (const file of globSync('src/*/errors.ts', { cwd: ROOT.pathname })) {
    if (NOT_BELOW.includes(file)) continue;
    const module = (await import(new URL(file, ROOT).href)) as Record<string, unknown>;
    for (const table of Object.values(module)) {
      if (typeof table !== 'object' || table === null || Array.isArray(table)) continue;
      const entries = Object.entries(table as Record<string, Partial<ErrorDescription>>);
      codes.push(...entries.filter(([, entry]) => entry.remedy !== undefined).map(([code]) => code));
    }
  }
  return codes;
}

describe('the error table', () => {
  test('every code of every layer is mapped', async () => {
    const codes = await codesOfAllLayers();
    expect(codes).toContain('ERR_DIGEST_INVALID');
    expect(codes).toContain('ERR_BODY_LENGTH');
    expect(codes.filter((code) => !Object.hasOwn(ERROR_TABLE, code))).toEqual([]);
  });

  test('no entry has a status that would keep a client at this node', () => {
    for (const [code, entry] of Object.entries(ERROR_TABLE)) {
      // A body that comes too slowly can only be one of a push, which is meant for this node.
      if (code !== 'ERR_BODY_SLOW') expect([401, 408, 429], code).not.toContain(entry.status);
      expect(REGISTRY_ERROR_CODES).toContain(entry.code);
      if (entry.status === 503) expect(entry.retryAfterSeconds, code).toBeGreaterThan(0);
      if (entry.status >= 500) expect(entry.message, code).toBeTypeOf('string');
    }
  });

  test('what is none of ours is told without its inside', () => {
    for (const thrown of [
      new Error('secret'),
      'secret',
      undefined,
      new DockyardError('ERR_NEVER_HEARD_OF', 'secret'),
      new DockyardError('toString', 'secret'),
    ]) {
      const told = toPublicError(thrown);
      expect(told).toMatchObject({ status: 500, code: 'UNKNOWN' });
      expect(JSON.stringify(told)).not.toContain('secret');
    }
  });

  test('an upstream that failed is named with the code of its failure, and nothing else of the network', () => {
    const cause = new Error('connect ECONNREFUSED 10.1.2.3:443');
    const details = { upstream: 'docker.io', causeCode: 'ECONNREFUSED' };
    const origin = new DockyardError('ERR_ORIGIN_UNAVAILABLE', 'at 10.1.2.3', { cause, details });
    const transfer = new DockyardError('ERR_TRANSFER_UNAVAILABLE', 'no source', { cause: origin });
    expect(toPublicError(origin).message).toBe('the upstream registry cannot be reached now (docker.io: ECONNREFUSED)');
    expect(toPublicError(transfer).message).toBe('no source can deliver the blob now (docker.io: ECONNREFUSED)');
    const refused = new DockyardError('ERR_ORIGIN_UNAVAILABLE', '', { details: { upstream: 'x', status: 500 } });
    expect(toPublicError(refused).message).toContain('(x: status 500)');
  });
});
