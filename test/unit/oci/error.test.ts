import { describe, expect, test } from 'vitest';
import { asError, DockyardError, isAbortError, isDockyardError } from '../../../src/oci/error.ts';
import { OCI_VALUE_ERRORS, ociError } from '../../../src/oci/errors.ts';

describe('errors', () => {
  test('an error keeps its code, its details and its cause', () => {
    const cause = new Error('below');
    const error = ociError('ERR_DIGEST_INVALID', 'message', { cause, details: { seen: 3 } });
    expect(error).toMatchObject({ code: 'ERR_DIGEST_INVALID', details: { seen: 3 }, cause, message: 'message' });
    expect(new DockyardError('ERR_X', 'message')).not.toHaveProperty('cause');
  });

  test('an error is told by its code', () => {
    const error = ociError('ERR_NAME_INVALID', 'message');
    expect(isDockyardError(error)).toBe(true);
    expect(isDockyardError(error, 'ERR_NAME_INVALID')).toBe(true);
    expect(isDockyardError(error, 'ERR_DIGEST_INVALID')).toBe(false);
    expect(isDockyardError(Object.assign(new Error('x'), { code: 'ERR_NAME_INVALID' }))).toBe(false);
  });

  test('what signals raise is an abort, and nothing else is', async () => {
    expect(isAbortError(AbortSignal.abort().reason)).toBe(true);
    const timeout = AbortSignal.timeout(1);
    await new Promise((resolve) => {
      timeout.addEventListener('abort', resolve);
    });
    expect(isAbortError(timeout.reason)).toBe(true);
    expect(isAbortError(new Error('x'))).toBe(false);
    expect(isAbortError('AbortError')).toBe(false);
  });

  test('any thrown value becomes an error that keeps it', () => {
    const error = new Error('x');
    expect(asError(error)).toBe(error);
    expect(asError('text').cause).toBe('text');
  });

  test('every code has a meaning and a remedy', () => {
    for (const { meaning, remedy } of Object.values(OCI_VALUE_ERRORS)) {
      expect(meaning).toMatch(/\.$/);
      expect(remedy).toMatch(/\.$/);
    }
  });
});
