import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { isDockyardError } from '../../../src/oci/error.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { formatLocateQuestion, parseLocateAnswer, parseLocateQuestion } from '../../../src/transfer/locate.ts';
import { MAX_BLOB_BYTES } from '../../../src/transfer/wire.ts';

const question = {
  digest: digestOf(Buffer.from('blob')),
  repository: { upstream: 'docker.io', name: parseRepositoryName('library/thing') },
  sizeBytes: 12_345,
  isReading: true,
};

/** What JSON makes of it. */
function overTheWire(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}

test('a question comes over the wire as it was asked', () => {
  expect(parseLocateQuestion(overTheWire(formatLocateQuestion(question)))).toEqual(question);
  const bare = { ...question, sizeBytes: undefined, isReading: false };
  expect(parseLocateQuestion(overTheWire(formatLocateQuestion(bare)))).toEqual(bare);
});

test.each([
  ['no digest', { digest: undefined }],
  ['a path for a name', { name: '../../etc' }],
  ['no upstream', { upstream: 7 }],
  ['an endless upstream', { upstream: 'x'.repeat(300) }],
])('a question with %s is refused', (_what, change) => {
  const asked = { ...(formatLocateQuestion(question) as object), ...change };
  expect(() => parseLocateQuestion(asked)).toThrow();
});

test('an answer keeps what makes sense and bounds what it names', () => {
  const holder = { peerId: 'p', addresses: Array.from({ length: 20 }, () => ({ host: '::1', port: 1 })) };
  const answer = parseLocateAnswer({
    sizeBytes: MAX_BLOB_BYTES + 1,
    holders: Array.from({ length: 500 }, () => holder),
  });
  expect(answer.sizeBytes).toBeUndefined();
  expect(answer.holders.length).toBe(64);
  expect(answer.holders[0]?.addresses.length).toBe(8);
  expect(parseLocateAnswer({})).toEqual({
    sizeBytes: undefined,
    holders: [],
    inline: false,
    isComing: false,
    isCrowded: false,
  });
});

test.each([
  { peerId: 1, addresses: [] },
  { peerId: 'p' },
  { peerId: 'p', addresses: [{ host: 'h', port: 70_000 }] },
  null,
])('an answer with the holder %j is refused', (holder) => {
  expect(() => parseLocateAnswer({ holders: [holder] })).toThrow(
    expect.objectContaining({ code: 'ERR_LINK_PROTOCOL' }) as Error,
  );
});

test('whatever JSON comes, it is read or refused with a code', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(parseLocateAnswer, parseLocateQuestion), (value, parse) => {
      try {
        parse(value);
      } catch (error) {
        expect(isDockyardError(error)).toBe(true);
      }
    }),
  );
});
