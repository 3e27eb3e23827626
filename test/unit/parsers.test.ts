/**
 * What strangers send: whatever it is, a parser answers with a value, or with the error that it promises, which does not
 * repeat it at length. Parsers whose values have rules of their own have tests beside their room; here nothing may surprise.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseWanted } from '../../node/fetch/what.ts';
import { parsePaxRecords, parsePaxSize, parseTarHeader } from '../../src/appc/archive/tar-header.ts';
import { readMetaTags } from '../../src/appc/discovery/meta-tags.ts';
import { parseFilePath } from '../../src/appc/server/appc-paths.ts';
import { parseAppReference } from '../../src/appc/values/app-reference.ts';
import { parseImageId } from '../../src/appc/values/image-id.ts';
import { parseImageManifest } from '../../src/appc/values/image-manifest.ts';
import { encodeBencode } from '../../src/bencode/bencode.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { parseLayoutIndex } from '../../src/oci/image-layout.ts';
import { parsePlatform } from '../../src/oci/platform.ts';
import { parseStrictJson } from '../../src/oci/strict-json.ts';
import { nextSearchOf } from '../../src/origin/origin-list.ts';
import { parseTokenAnswer } from '../../src/origin/token-client.ts';
import { parseRequestTarget } from '../../src/registry/distribution-path.ts';
import { readContentRange } from '../../src/registry/push-parameters.ts';
import { parseTorrentPath } from '../../src/registry/torrent-path.ts';
import { decodePieceNote } from '../../src/storage/s3-piece-notes.ts';
import { parseUploadMetadata } from '../../src/storage/s3-upload-body.ts';
import { decodeMessage } from '../../src/swarm/link/link-message.ts';
import { parseMagnet } from '../../src/torrent/magnet.ts';
import { parseTorrentInfo } from '../../src/torrent/parse-metainfo.ts';
import { parseLendQuestion } from '../../src/transfer/lend.ts';
import { parsePreheatAnswer, parsePreheatQuestion } from '../../src/transfer/preheat-wire.ts';
import { parseInfoHash } from '../../tracker/registrations.ts';
import { tarOf } from '../support/image-builder.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
/** An error may quote what it is about, and no more than that. */
const MAX_MESSAGE_LENGTH = 1000;
const RUNS = 300;

/** Something good, and changes to it: the interesting mistakes are close to what is right. */
function near(sample: Buffer): fc.Arbitrary<Buffer> {
  const edit = fc.record({
    at: fc.nat(sample.length),
    cut: fc.nat(4),
    put: fc.oneof(fc.uint8Array({ maxLength: 4 }), fc.constantFrom(...ODD.map((text) => Buffer.from(text)))),
  });
  return fc
    .array(edit, { maxLength: 4 })
    .map((edits) =>
      edits.reduce(
        (bytes, { at, cut, put }) => Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + cut)]),
        sample,
      ),
    );
}

const ODD = ['\0', '\r\n', '../', '%2e', '%', '\\', '"', '-1', '1e999', '9'.repeat(40), '\u{1f4a9}', 'null', '{', '['];

const texts = (sample: string): fc.Arbitrary<string> =>
  fc.oneof(
    near(Buffer.from(sample)).map((bytes) => bytes.toString('utf8')),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.constantFrom(...ODD).map((text) => text.repeat(3000)),
  );

const bytes = (sample: Buffer): fc.Arbitrary<Buffer> =>
  fc.oneof(
    near(sample),
    fc.uint8Array({ maxLength: 600 }).map((array) => Buffer.from(array)),
  );

/** A JSON document with one of its fields changed to anything. */
const documents = (sample: Readonly<Record<string, unknown>>): fc.Arbitrary<unknown> =>
  fc.oneof(
    fc
      .tuple(fc.constantFrom(...Object.keys(sample)), fc.jsonValue())
      .map(([key, value]) => ({ ...sample, [key]: value })),
    fc.constant(sample),
    fc.jsonValue(),
  );

const json = (sample: Readonly<Record<string, unknown>>): fc.Arbitrary<Buffer> =>
  fc.oneof(
    documents(sample).map((document) => Buffer.from(JSON.stringify(document))),
    bytes(Buffer.from(JSON.stringify(sample))),
  );

type Parser = readonly [name: string, inputs: fc.Arbitrary<unknown>, parse: (input: never) => unknown, codes: string[]];

function parser<Input>(
  name: string,
  inputs: fc.Arbitrary<Input>,
  parse: (input: Input) => unknown,
  codes: string[] = [],
): Parser {
  return [name, inputs, parse, codes];
}

const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: DIGEST, size: 10 };
const hash = Buffer.alloc(20, 7);
const torrentInfo = encodeBencode(
  new Map<string, Buffer | string | number>([
    ['length', 20_000],
    ['name', 'file'],
    ['piece length', 16_384],
    ['pieces', Buffer.concat([hash, hash])],
  ]),
);
const magnet = `magnet:?xt=urn:btih:${'a1'.repeat(20)}&dn=name&tr=http%3A%2F%2Ft.test%2Fannounce`;
const link = Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, 12]), Buffer.from('{"a":"text"}')]);
const preheat = { upstream: 'docker.io', name: 'library/x', blobs: [{ digest: DIGEST, sizeBytes: 3 }], isWanted: true };

const PARSERS = [
  parser('a request target', texts(`/v2/a/b/blobs/${DIGEST}?ns=docker.io`), parseRequestTarget, ['ERR_TARGET_INVALID']),
  parser('a path of torrents', texts(`/torrents/${DIGEST}.torrent`), parseTorrentPath),
  parser('the range of a chunk', texts('0-1023'), (text: string) => readContentRange(text, 1024), [
    'ERR_CONTENT_RANGE',
    'ERR_CONTENT_LENGTH',
  ]),
  parser('a link to the next page', texts('</v2/a/tags/list?n=1&last=b>; rel="next"'), (text: string) =>
    nextSearchOf(text, new URL('http://registry.test/v2/')),
  ),
  parser('the answer of a token server', json({ token: 'abc', expires_in: 300 }), parseTokenAnswer),
  parser('the index of a layout', json({ schemaVersion: 2, manifests: [descriptor] }), parseLayoutIndex, [
    'ERR_MANIFEST_INVALID',
  ]),
  parser('strict JSON', json({ a: [1, { b: null }] }), parseStrictJson, ['SyntaxError']),
  parser('a platform', texts('linux/arm64/v8'), parsePlatform, ['ERR_REFERENCE_INVALID']),
  parser('metadata of an upload', documents({ 'part-size': '5', start: '0', multipart: 'x' }), (value: unknown) =>
    parseUploadMetadata(Object(value) as Record<string, string>),
  ),
  parser('a note of piece hashes', bytes(Buffer.alloc(72)), (body: Buffer) => decodePieceNote(body, 10)),
  parser('a message of a link', bytes(link), decodeMessage, ['ERR_LINK_PROTOCOL']),
  parser('a question to lend', documents({ digest: DIGEST, first: 0, count: 1 }), parseLendQuestion, [
    'ERR_LINK_PROTOCOL',
    'ERR_DIGEST_INVALID',
  ]),
  parser('a question to preheat', documents(preheat), parsePreheatQuestion, [
    'ERR_LINK_PROTOCOL',
    'ERR_DIGEST_INVALID',
  ]),
  parser(
    'an answer about preheating',
    documents({ blobs: [{ state: 'held', heldBytes: 3 }] }),
    (value: unknown) => parsePreheatAnswer(value, 1),
    ['ERR_LINK_PROTOCOL'],
  ),
  parser('a magnet link', texts(magnet), parseMagnet, ['ERR_MAGNET_INVALID']),
  parser('an info dictionary', bytes(torrentInfo), parseTorrentInfo, [
    'ERR_METAINFO_INVALID',
    'ERR_METAINFO_TOO_LARGE',
  ]),
  parser('an info-hash', texts(magnet), parseInfoHash),
  parser('what is to be fetched', texts(`ghcr.io/a/b@${DIGEST}`), parseWanted, ['ERR_USAGE', 'ERR_DIGEST_INVALID']),
  parser('a header of an archive', bytes(tarOf('file', Buffer.from('x')).subarray(0, 512)), parseTarHeader, [
    'ERR_ACI_INVALID',
  ]),
  parser('an extended header', bytes(Buffer.from('19 path=some/where\n11 size=12\n')), parsePaxRecords, [
    'ERR_ACI_INVALID',
  ]),
  parser('a size in an extended header', texts('123456'), parsePaxSize, ['ERR_ACI_INVALID']),
  parser(
    'meta tags',
    texts('<html><head><meta name="ac-discovery" content="a.test https://a.test/{name}.{ext}"></head></html>'),
    readMetaTags,
  ),
  parser('the path of an app container image', texts('a.test/app/1.0/linux/amd64.aci'), parseFilePath, [
    'ERR_AC_NAME_INVALID',
  ]),
  parser('the name of an app container image', texts('a.test/app:1.0,os=linux'), parseAppReference, [
    'ERR_AC_NAME_INVALID',
  ]),
  parser('the id of an app container image', texts(`sha512-${'ab'.repeat(64)}`), parseImageId, ['ERR_AC_NAME_INVALID']),
  parser(
    'the manifest of an app container image',
    json({
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'a.test/app',
      labels: [{ name: 'os', value: 'linux' }],
    }),
    parseImageManifest,
    ['ERR_ACI_MANIFEST_INVALID'],
  ),
];

describe('whatever comes as', () => {
  test.each(PARSERS)('%s is read, or refused as promised', (_, inputs, parse, codes) => {
    let read = 0;
    fc.assert(
      fc.property(inputs, (input) => {
        try {
          parse(input as never);
          read += 1;
        } catch (error) {
          if (!(error instanceof Error)) throw new TypeError('what was thrown is no error', { cause: error });
          expect(codes).toContain(isDockyardError(error) ? error.code : error.name);
          expect(error.message.length).toBeLessThanOrEqual(MAX_MESSAGE_LENGTH);
        }
      }),
      { numRuns: RUNS },
    );
    // Otherwise nothing but the first check of the parser was tried.
    expect(read).toBeGreaterThan(0);
  });
});
