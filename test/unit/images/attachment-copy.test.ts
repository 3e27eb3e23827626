/** What is attached to images comes with them, whichever of the registries lists it. */
import { describe, expect, test } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import type { Tag } from '../../../src/oci/name.ts';
import { referrersTag } from '../../../src/oci/referrers-tag.ts';
import { descriptor, FakeRegistry, makeCopy } from './copy-fixture.ts';

const CONFIG = Buffer.from('{}');
const V1 = 'v1' as Tag;
const SIGNATURE = 'application/vnd.example.signature';
const NOTES = 'application/vnd.example.notes';

function manifest(extra: object): Buffer {
  const config = descriptor(MEDIA_TYPES.ociEmpty, CONFIG);
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [], ...extra };
  return Buffer.from(JSON.stringify(document));
}

function index(manifests: readonly object[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
}

function subjectOf(bytes: Buffer): object {
  return { subject: descriptor((JSON.parse(bytes.toString()) as { mediaType: string }).mediaType, bytes) };
}

const PLATFORM = manifest({ annotations: { for: 'a platform' } });
const IMAGE = index([descriptor(MEDIA_TYPES.ociManifest, PLATFORM)]);
const PARTS_LIST = manifest({ artifactType: NOTES, ...subjectOf(IMAGE) });
const SIGNED = manifest({ artifactType: SIGNATURE, ...subjectOf(PARTS_LIST) });
const OF_PLATFORM = manifest({ artifactType: SIGNATURE, ...subjectOf(PLATFORM) });
const COSIGNED = manifest({ annotations: { by: 'a tag' } });
const ALL = [PLATFORM, IMAGE, PARTS_LIST, SIGNED, OF_PLATFORM, COSIGNED];

const entry = (bytes: Buffer, artifactType: string, annotations?: object): object => ({
  ...descriptor(MEDIA_TYPES.ociManifest, bytes),
  artifactType,
  ...(annotations === undefined ? {} : { annotations }),
});

/** An image whose platform is signed, with a list of parts that is signed too, and a signature under a tag. */
function source({ listsReferrers }: { listsReferrers: boolean }): FakeRegistry {
  const registry = new FakeRegistry().add(CONFIG).tag('v1', IMAGE);
  for (const bytes of ALL) registry.manifests.set(digestOf(bytes), bytes);
  registry.tag(`${referrersTag(digestOf(IMAGE))}.sig`, COSIGNED);
  registry.listsReferrers = listsReferrers;
  if (listsReferrers) return registry;
  registry.tag(referrersTag(digestOf(IMAGE)), index([entry(PARTS_LIST, NOTES, { written: 'today' })]));
  registry.tag(referrersTag(digestOf(PARTS_LIST)), index([entry(SIGNED, SIGNATURE)]));
  registry.tag(referrersTag(digestOf(PLATFORM)), index([entry(OF_PLATFORM, SIGNATURE)]));
  return registry;
}

/** The digests in a list that clients keep. */
function listed(registry: FakeRegistry, subject: Buffer): Digest[] | undefined {
  const bytes = registry.manifests.get(referrersTag(digestOf(subject)));
  if (bytes === undefined) return undefined;
  return (JSON.parse(bytes.toString()) as { manifests: { digest: Digest }[] }).manifests.map(({ digest }) => digest);
}

const kinds = [{ listsReferrers: true }, { listsReferrers: false }];

describe('a copy with what is attached', () => {
  describe.each(kinds)('from a registry with %o', (from) => {
    test.each(kinds)('to one with %o', async (to) => {
      const target = new FakeRegistry();
      target.listsReferrers = to.listsReferrers;
      const { copy, events } = await makeCopy(source(from), target, true);
      await copy.run({ kind: 'tag', tag: V1 }, V1);
      for (const bytes of ALL) expect(target.manifests.get(digestOf(bytes))).toEqual(bytes);
      expect(target.manifests.get(`${referrersTag(digestOf(IMAGE))}.sig`)).toEqual(COSIGNED);
      expect(target.manifests.get('v1')).toEqual(IMAGE);
      const expected = to.listsReferrers ? [undefined, undefined, undefined] : [[PARTS_LIST], [SIGNED], [OF_PLATFORM]];
      expect([IMAGE, PARTS_LIST, PLATFORM].map((subject) => listed(target, subject))).toEqual(
        expected.map((entries) => entries?.map((bytes) => digestOf(bytes))),
      );
      const told = events.filter(({ kind }) => kind === 'manifest');
      expect(told).toHaveLength(ALL.length);
      expect(told).toContainEqual(expect.objectContaining({ digest: digestOf(SIGNED), subject: digestOf(PARTS_LIST) }));
      expect(told.at(-1)).toMatchObject({ digest: digestOf(IMAGE), tag: 'v1', outcome: 'sent' });
    });
  });

  test('leaves it where it is when it is not asked for', async () => {
    const target = new FakeRegistry();
    const { copy } = await makeCopy(source({ listsReferrers: true }), target);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    expect(target.manifests.has(digestOf(PARTS_LIST))).toBe(false);
  });

  test('keeps what the target had attached, and what is said of each', async () => {
    const own = manifest({ artifactType: 'application/vnd.example.own', ...subjectOf(IMAGE) });
    const target = new FakeRegistry().tag(referrersTag(digestOf(IMAGE)), index([entry(own, 'application/own')]));
    const { copy } = await makeCopy(source({ listsReferrers: false }), target, true);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    const list = JSON.parse(target.manifests.get(referrersTag(digestOf(IMAGE)))?.toString() ?? '') as object;
    expect(list).toMatchObject({
      manifests: [entry(own, 'application/own'), entry(PARTS_LIST, NOTES, { written: 'today' })],
    });
  });

  test('done again, sends nothing', async () => {
    const target = new FakeRegistry();
    const from = source({ listsReferrers: false });
    await (await makeCopy(from, target, true)).copy.run({ kind: 'tag', tag: V1 }, V1);
    let changes = 0;
    target.misbehave = ({ method }) => {
      if (method !== 'GET' && method !== 'HEAD') changes += 1;
      return false;
    };
    const { copy, events } = await makeCopy(from, target, true);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    expect(changes).toBe(0);
    expect(events.every((event) => event.kind === 'manifest' && event.outcome === 'there')).toBe(true);
  });

  test('says what the source lists and does not have, and brings the rest', async () => {
    const from = source({ listsReferrers: false });
    const gone = manifest({ artifactType: 'application/gone', ...subjectOf(IMAGE) });
    from.tag(referrersTag(digestOf(IMAGE)), index([entry(gone, 'application/gone'), entry(PARTS_LIST, NOTES)]));
    const target = new FakeRegistry();
    const { copy, events } = await makeCopy(from, target, true);
    await copy.run({ kind: 'tag', tag: V1 }, V1);
    expect(events).toContainEqual(expect.objectContaining({ digest: digestOf(gone), outcome: 'missing' }));
    expect(listed(target, IMAGE)).toEqual([digestOf(PARTS_LIST)]);
  });

  test('of the tag of a list that clients keep brings what is listed, into the list of the target', async () => {
    const tag = referrersTag(digestOf(IMAGE));
    const target = new FakeRegistry();
    target.listsReferrers = true;
    const { copy } = await makeCopy(source({ listsReferrers: false }), target, true);
    await copy.run({ kind: 'tag', tag }, tag);
    expect(target.manifests.get(digestOf(PARTS_LIST))).toEqual(PARTS_LIST);
    expect(target.manifests.has(tag)).toBe(false);
  });

  test('ends where the target does not take a signature, and then its tag is not there', async () => {
    const target = new FakeRegistry();
    target.misbehave = (request, response) => {
      if (request.method !== 'PUT' || !request.url?.endsWith(digestOf(SIGNED))) return false;
      response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"no signatures here"}]}');
      return true;
    };
    const { copy } = await makeCopy(source({ listsReferrers: true }), target, true);
    await expect(copy.run({ kind: 'tag', tag: V1 }, V1)).rejects.toMatchObject({ code: 'ERR_REGISTRY_REFUSED' });
    expect(target.manifests.has('v1')).toBe(false);
  });
});
