import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Discovery } from '../../../../src/appc/discovery/discovery.ts';
import { parseAcName } from '../../../../src/appc/values/ac-name.ts';
import { parseAppReference } from '../../../../src/appc/values/app-reference.ts';
import { openClient, openSite, type TestSite } from './web-fixture.ts';

/** Needs privileges that no test server has. */
const NOBODY_LISTENS = 1;

const WANTED = parseAppReference('127.0.0.1/team/app:1.0,os=linux,arch=amd64');

function page(...templates: string[]): string {
  const tags = templates.map((template) => `<meta name="ac-discovery" content="127.0.0.1 ${template}">`);
  return `<html><head>${tags.join('')}<meta name="ac-discovery-pubkeys" content="127.0.0.1 https://127.0.0.1/k.gpg"></head></html>`;
}

describe('over plain http, where that is allowed', () => {
  let site: TestSite;
  let discovery: Discovery;
  let web: ReturnType<typeof openClient>;

  beforeEach(async () => {
    site = await openSite('http');
    web = openClient();
    discovery = new Discovery({ web }, { httpPort: site.port, httpsPort: NOBODY_LISTENS });
  });

  afterEach(async () => {
    await web.close();
    await site[Symbol.asyncDispose]();
  });

  test('the page at the name is asked first', async () => {
    site.pages.set('/team/app?ac-discovery=1', page('https://127.0.0.1/x/{name}-{version}-{os}-{arch}.{ext}'));
    const { endpoints, keys } = await discovery.find(WANTED);
    expect(endpoints.map(({ aci }) => aci.href)).toEqual([
      'https://127.0.0.1/x/127.0.0.1/team/app-1.0-linux-amd64.aci',
    ]);
    expect(endpoints[0]?.signature.href).toMatch(/amd64\.aci\.asc$/);
    expect(keys.map(({ href }) => href)).toEqual(['https://127.0.0.1/k.gpg']);
    expect(site.asked).toEqual(['/team/app?ac-discovery=1']);
  });

  test('then those above it, up to the host', async () => {
    site.pages.set('/team?ac-discovery=1', '<p>a page without tags</p>');
    site.pages.set('/?ac-discovery=1', page('https://127.0.0.1/{name}.{ext}'));
    const { attempts } = await discovery.find(WANTED);
    expect(site.asked).toEqual(['/team/app?ac-discovery=1', '/team?ac-discovery=1', '/?ac-discovery=1']);
    expect(attempts.join()).toContain('answers 404');
  });

  test('a page whose templates do not fit leads to the one above', async () => {
    site.pages.set('/team/app?ac-discovery=1', page('https://127.0.0.1/{name}', 'https://h/{color}.{ext}'));
    site.pages.set('/team?ac-discovery=1', page('https://127.0.0.1/right/{name}.{ext}'));
    const { endpoints } = await discovery.find(WANTED);
    expect(endpoints[0]?.aci.pathname).toBe('/right/127.0.0.1/team/app.aci');
  });

  test('tags about other names are passed over', async () => {
    const other = page('https://h/{name}.{ext}').replaceAll('="127.0.0.1 ', '="127.0.0.2 ');
    site.pages.set('/team/app?ac-discovery=1', other);
    site.pages.set('/?ac-discovery=1', page('https://127.0.0.1/{name}.{ext}'));
    await discovery.find(WANTED);
    expect(site.asked).toHaveLength(3);
  });

  test('redirects are followed, other answers than 200 are none', async () => {
    site.pages.set('/team/app?ac-discovery=1', (_, response) => response.writeHead(201).end(page('https://h/{ext}')));
    site.pages.set('/team?ac-discovery=1', (_, response) => response.writeHead(302, { location: '/elsewhere' }).end());
    site.pages.set('/elsewhere', page('https://127.0.0.1/{name}.{ext}'));
    await discovery.find(WANTED);
    expect(site.asked).toEqual(['/team/app?ac-discovery=1', '/team?ac-discovery=1', '/elsewhere']);
  });

  test('where no page tells, the name itself is tried as a URL', async () => {
    const { endpoints } = await discovery.find(WANTED);
    expect(endpoints.map(({ aci }) => aci.href).at(-1)).toBe(`${site.origin}/team/app-1.0-linux-amd64.aci`);
  });

  test('and where that is none either, what was asked is told', async () => {
    await expect(discovery.find(parseAppReference('127.0.0.1/team/app:1.0'))).rejects.toMatchObject({
      code: 'ERR_DISCOVERY_FAILED',
      message: expect.stringContaining('/team/app?ac-discovery=1') as string,
    });
  });

  test('keys are found as images are', async () => {
    site.pages.set('/?ac-discovery=1', page());
    const keys = await discovery.findKeys(parseAcName('127.0.0.1/team/app'));
    expect(keys).toHaveLength(1);
    await expect(discovery.findKeys(parseAcName('127.0.0.1'))).resolves.toHaveLength(1);
    site.pages.clear();
    await expect(discovery.findKeys(parseAcName('127.0.0.1'))).rejects.toMatchObject({ code: 'ERR_DISCOVERY_FAILED' });
  });

  test('a page without an end is not read to it', async () => {
    site.pages.set('/team/app?ac-discovery=1', (_, response) => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, ' ')));
      };
      response.on('drain', more);
      more();
    });
    site.pages.set('/team?ac-discovery=1', page('https://127.0.0.1/{name}.{ext}'));
    const { attempts } = await discovery.find(WANTED);
    expect(attempts.join()).toContain('more than 1048576 bytes');
  });
});

describe('over https', () => {
  test('plain http is not spoken, not even where a page leads to it', async () => {
    await using site = await openSite('https');
    await using plain = await openSite('http');
    await using web = openClient({ allowHttp: false, caPem: site.caPem });
    const discovery = new Discovery({ web }, { httpPort: plain.port, httpsPort: site.port });
    site.pages.set('/team/app?ac-discovery=1', page('http://127.0.0.1/{name}.{ext}'));
    await expect(discovery.find(parseAppReference('127.0.0.1/team/app'))).rejects.toMatchObject({
      code: 'ERR_DISCOVERY_FAILED',
    });
    expect(plain.asked).toEqual([]);
    await expect(web.send({ url: new URL(plain.origin), site: new URL(site.origin) })).rejects.toMatchObject({
      code: 'ERR_ACI_DOWNLOAD',
    });
  });

  test('a certificate that nobody vouches for is refused', async () => {
    await using site = await openSite('https');
    await using web = openClient({ allowHttp: false });
    const discovery = new Discovery({ web }, { httpPort: site.port, httpsPort: site.port });
    site.pages.set('/?ac-discovery=1', page('https://127.0.0.1/{name}.{ext}'));
    await expect(discovery.findKeys(parseAcName('127.0.0.1'))).rejects.toThrow(/certificate/);
    expect(site.asked).toEqual([]);
  });
});

describe('where pages must not lead', () => {
  test('a public host does not lead to a private address', async () => {
    await using web = openClient();
    const site = new URL('https://8.8.8.8');
    for (const target of ['https://127.0.0.1/', 'https://169.254.169.254/', 'https://[::1]/', 'https://2130706433/'])
      await expect(web.send({ url: new URL(target), site })).rejects.toMatchObject({
        code: 'ERR_ORIGIN_UNSAFE_TARGET',
      });
    const byName = web.send({ url: new URL('https://rebound.example/'), site });
    await expect(byName).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNSAFE_TARGET' });
  });

  test('a redirect does not take credentials along, nor away from https', async () => {
    await using site = await openSite('https');
    await using other = await openSite('https');
    const credentialsFor = () => Promise.resolve({ kind: 'basic', username: 'u', password: 'p' } as const);
    const credentials = { credentialsFor, refused: () => undefined };
    await using web = openClient({ allowHttp: false, caPem: site.caPem }, credentials);
    site.pages.set('/a', (_, response) => response.writeHead(302, { location: `${other.origin}/b` }).end());
    site.pages.set('/http', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1/' }).end());
    other.pages.set('/b', 'here');
    const request = { url: new URL('/a', site.origin), site: new URL(site.origin) };
    expect((await web.document(request, 100)).toString()).toBe('here');
    expect(site.authorizations).toEqual([`Basic ${Buffer.from('u:p').toString('base64')}`]);
    expect(other.authorizations).toEqual([undefined]);
    await expect(web.send({ ...request, url: new URL('/http', site.origin) })).rejects.toMatchObject({
      code: 'ERR_ORIGIN_UNSAFE_TARGET',
    });
  });

  test('credentials do not go over plain http', async () => {
    await using site = await openSite('http');
    const credentialsFor = () => Promise.resolve({ kind: 'bearer', token: 't' } as const);
    await using web = openClient({}, { credentialsFor, refused: () => undefined });
    site.pages.set('/a', 'here');
    await web.document({ url: new URL('/a', site.origin), site: new URL(site.origin) }, 100);
    expect(site.authorizations).toEqual([undefined]);
  });
});
