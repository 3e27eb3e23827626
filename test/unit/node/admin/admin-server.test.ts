import { pino } from 'pino';
import { Counter, Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AdminServer } from '../../../../node/admin/admin-server.ts';
import { refusalOfAction } from '../../../../node/admin/local-action.ts';
import { AdminClient } from '../../../../node/cli/admin-client.ts';
import { FakeSubject } from './fake-subject.ts';

let subject = new FakeSubject();
let server: AdminServer;
let url = '';
beforeEach(async () => {
  subject = new FakeSubject();
  const metrics = new Registry();
  new Counter({ name: 'seen_total', help: 'x', registers: [metrics] }).inc(3);
  server = await AdminServer.open(
    { subject, metrics, log: pino({ level: 'silent' }) },
    { listen: { host: '127.0.0.1', port: 0 } },
  );
  url = `http://127.0.0.1:${server.address.port}`;
});
afterEach(() => server.close());

describe('probes', () => {
  test('/livez answers as long as the process does', async () => {
    expect(await (await fetch(`${url}/livez`)).text()).toBe('ok\n');
  });

  test('/readyz names each check, and is 503 when one fails', async () => {
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    subject.readiness.push({ name: 'disk', check: () => Promise.reject(new Error('gone')) });
    const response = await fetch(`${url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      ready: false,
      checks: [
        { name: 'store', ready: true, seen: 'fine' },
        { name: 'disk', ready: false, seen: 'gone' },
      ],
    });
  });

  test('/metrics is in the form of Prometheus', async () => {
    const response = await fetch(`${url}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('seen_total 3');
  });

  test('what is not there is 404, and a wrong method 405', async () => {
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    expect((await fetch(`${url}/status`, { method: 'DELETE' })).status).toBe(405);
  });
});

describe('reports', () => {
  test('the client reads what the subject tells', async () => {
    const client = new AdminClient(url);
    expect(await client.status()).toEqual(await subject.status());
    expect(await client.peers()).toEqual(subject.peers());
    const blobs = [];
    for await (const blob of client.blobs()) blobs.push(blob);
    expect(blobs).toEqual(subject.heldBlobs);
  });

  test('a fault of the node is 500 without its inside', async () => {
    subject.failWith = new Error('secret path');
    const response = await fetch(`${url}/status`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret path');
    await expect(new AdminClient(url).status()).rejects.toMatchObject({ code: 'ERR_ADMIN_ANSWER' });
  });
});

describe('verifying', () => {
  test('a second verification is refused while one runs', async () => {
    const client = new AdminClient(url);
    const results = client.verify()[Symbol.asyncIterator]();
    await results.next();
    await expect(client.verify()[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      message: expect.stringContaining('already'),
    });
    subject.goOn();
    while ((await results.next()).done !== true);
    expect(subject.verified).toBe(subject.heldBlobs.length);
  });

  test('ends when the client goes away, and can be begun again', async () => {
    const controller = new AbortController();
    const response = await fetch(`${url}/verify`, { method: 'POST', signal: controller.signal });
    expect(response.status).toBe(200);
    controller.abort();
    await expect.poll(() => subject.aborted).toBe(true);
    await expect
      .poll(async () => (await fetch(`${url}/verify`, { method: 'POST', signal: AbortSignal.timeout(100) })).status)
      .toBe(200);
  });

  test('a failure on the way reaches the client', async () => {
    subject.goOn();
    subject.failWith = new Error('disk is gone');
    const reading = async (): Promise<void> => {
      for await (const result of new AdminClient(url).verify()) expect(result.state).toBe('good');
    };
    await expect(reading()).rejects.toMatchObject({
      code: 'ERR_ADMIN_ANSWER',
      message: expect.stringContaining('disk is gone'),
    });
  });
});

describe('actions', () => {
  test('web pages may not set anything going', async () => {
    const response = await fetch(`${url}/verify`, { method: 'POST', headers: { origin: 'https://evil.example' } });
    expect(response.status).toBe(403);
    expect(subject.verified).toBe(0);
  });

  test('web pages may not have garbage collected', async () => {
    const response = await fetch(`${url}/gc`, { method: 'POST', headers: { origin: 'https://evil.example' } });
    expect(response.status).toBe(403);
  });

  test('other machines may not set anything going', () => {
    expect(refusalOfAction({ remoteAddress: '10.0.0.1', origin: undefined })).toContain('this machine');
    expect(refusalOfAction({ remoteAddress: undefined, origin: undefined })).toContain('this machine');
    expect(refusalOfAction({ remoteAddress: '::ffff:127.0.0.1', origin: undefined })).toBeUndefined();
    expect(refusalOfAction({ remoteAddress: '::1', origin: undefined })).toBeUndefined();
  });
});

test('an address in use is a clear error', async () => {
  const again = AdminServer.open(
    { subject, metrics: new Registry(), log: pino({ level: 'silent' }) },
    { listen: server.address },
  );
  await expect(again).rejects.toMatchObject({
    code: 'ERR_LISTEN_FAILED',
    message: expect.stringContaining(`:${server.address.port}`),
  });
});

test('closing twice is fine', async () => {
  await Promise.all([server.close(), server.close()]);
  await expect(new AdminClient(url).status()).rejects.toMatchObject({ code: 'ERR_ADMIN_UNREACHABLE' });
});
