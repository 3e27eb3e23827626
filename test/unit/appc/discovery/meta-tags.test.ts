import { describe, expect, test } from 'vitest';
import { renderTemplate } from '../../../../src/appc/discovery/discovery-template.ts';
import { MAX_META_TAGS, readMetaTags } from '../../../../src/appc/discovery/meta-tags.ts';
import { parseAppReference } from '../../../../src/appc/values/app-reference.ts';

const TAG = '<meta name="ac-discovery" content="example.com https://example.com/{name}.{ext}">';
const FOUND = { name: 'ac-discovery', prefix: 'example.com', url: 'https://example.com/{name}.{ext}' };

describe('the tags of a page', () => {
  test.each([
    ['in a head', `<!doctype html><html><head><title>x</title>${TAG}</head><body></body></html>`],
    ['without a head of its own', `<title>x</title>${TAG}`],
    ['in XHTML', `<html xmlns="x"><head>${TAG.replace('>', '/>')}</head></html>`],
    ['in capitals', `<HEAD>${TAG.replace('meta name', 'META NAME')}</HEAD>`],
    [
      'in other quotes, the other way round',
      `<head><meta content='example.com  https://example.com/{name}.{ext} ' name=ac-discovery></head>`,
    ],
    ['with escaped characters', `<head>${TAG.replace('https:', 'https&#58;')}</head>`],
  ])('are found %s', (_, html) => {
    expect(readMetaTags(html)).toEqual([FOUND]);
  });

  test.each([
    ['in its body', `<html><head></head><body>${TAG}</body></html>`],
    ['after the first element of a body that has no tag', `<p>hello</p>${TAG}`],
    ['in a comment', `<head><!-- ${TAG} --></head>`],
    ['in a script', `<head><script>'${TAG}'</script></head>`],
    ['in its title', `<head><title>${TAG}</title></head>`],
    ['in a template', `<head><template>${TAG}</template></head>`],
    ['of another name', `<head>${TAG.replace('ac-discovery', 'discovery')}</head>`],
    ['without a URL', `<head><meta name="ac-discovery" content="example.com"></head>`],
    ['with three words', `<head><meta name="ac-discovery" content="example.com https://a b"></head>`],
    ['without quotes closed', `<head><meta name="ac-discovery content=example.com https://a>`],
  ])('are not found %s', (_, html) => {
    expect(readMetaTags(html)).toEqual([]);
  });

  test('are bounded in number', () => {
    expect(readMetaTags(`<head>${TAG.repeat(5000)}</head>`)).toHaveLength(MAX_META_TAGS);
  });
});

describe('a template', () => {
  const reference = parseAppReference('example.com/app:1.0,os=linux,arch=amd64,flavour=mint');

  test.each([
    ['https://h/{name}-{version}-{os}-{arch}.{ext}', 'https://h/example.com/app-1.0-linux-amd64.aci'],
    ['https://h/{flavour}/{name}.{ext}', 'https://h/mint/example.com/app.aci'],
    ['https://h/x.{ext}?v={version}', 'https://h/x.aci?v=1.0'],
  ])('%s', (template, url) => {
    expect(renderTemplate(template, reference, 'aci')?.href).toBe(url);
    expect(renderTemplate(template, reference, 'aci.asc')?.href).toBe(url.replace('.aci', '.aci.asc'));
  });

  test('asks for the latest version where none is said', () => {
    const url = renderTemplate('https://h/{name}/{version}.{ext}', parseAppReference('a/b'), 'aci');
    expect(url?.href).toBe('https://h/a/b/latest.aci');
  });

  test.each([
    ['without {ext}', 'https://h/{name}'],
    ['with a label that is not given', 'https://h/{name}-{color}.{ext}'],
    ['with half a placeholder', 'https://h/{name.{ext}'],
    ['of another scheme', 'hdfs://h/{name}.{ext}'],
    ['that is no URL', '{name}.{ext}'],
    ['that would run', 'javascript:alert(1).{ext}'],
  ])('%s is passed over', (_, template) => {
    expect(renderTemplate(template, reference, 'aci')).toBeUndefined();
  });

  test.each([
    ['../../secret', 'https://h/a/..%2F..%2Fsecret/x.aci'],
    ['1.0?x=1#y', 'https://h/a/1.0%3Fx%3D1%23y/x.aci'],
    ['{ext}', 'https://h/a/%7Bext%7D/x.aci'],
    ['@evil.example', 'https://h/a/%40evil.example/x.aci'],
  ])('does not let the label %j lead elsewhere', (value, url) => {
    const labels = new Map([['version', value]]);
    expect(renderTemplate('https://h/a/{version}/x.{ext}', { ...reference, labels }, 'aci')?.href).toBe(url);
  });

  test.each(['.', '..'])('is passed over for the label %j', (value) => {
    const labels = new Map([['version', value]]);
    expect(renderTemplate('https://h/a/{version}/x.{ext}', { ...reference, labels }, 'aci')).toBeUndefined();
  });
});
