/** Deliveries over TLS and through a proxy. */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../support/programs.ts';
import { startTlsServer } from '../origin/origin-fixture.ts';
import { makeCertificate } from '../origin/tls-fixture.ts';
import { openNotifier, startReceiver } from './notify-fixture.ts';
import { endpoint, notifyConfig, pushOf } from './notify-values.ts';

test('an endpoint with a certificate of its own is trusted when the operator gave it', async () => {
  const certificate = await makeCertificate();
  const server = await startTlsServer(
    certificate,
    (request, response) => void request.resume().on('end', () => response.end()),
  );
  await using strict = await openNotifier(notifyConfig(endpoint(server.url)));
  await strict.onEvent(pushOf('v1'));
  await until('it is refused', () => strict.report()[0]?.lastFailure?.includes('CERT'));
  expect(server.seen).toEqual([]);
  await using trusting = await openNotifier(notifyConfig(endpoint(server.url, { caPem: certificate.cert })));
  await trusting.onEvent(pushOf('v1'));
  await until('it is delivered', () => trusting.report()[0]?.lastDeliveryAtMs !== undefined);
  expect(server.seen).toHaveLength(1);
});

test('certificates that cannot be read are told at the start', async () => {
  const config = notifyConfig(endpoint('https://ci.example.com/', { caPem: 'no certificate' }));
  await expect(openNotifier(config)).rejects.toMatchObject({ code: 'ERR_WEBHOOK_INVALID' });
});

test('a delivery goes through the proxy, except to an inner address that stands in the URL', async () => {
  const receiver = await startReceiver();
  const asked: string[] = [];
  const proxy = createServer((incoming, response) => {
    asked.push(incoming.url ?? '');
    const target = { host: '127.0.0.1', port: receiver.port, method: incoming.method, headers: incoming.headers };
    incoming.pipe(request(target, (found) => void found.pipe(response.writeHead(found.statusCode ?? 502))));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void proxy.close());
  const httpProxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const config = {
    ...notifyConfig(
      endpoint('http://ci.example.com/hook', { allowPrivate: false }),
      endpoint(receiver.url, { name: 'inner', allowPrivate: false }),
    ),
    proxy: { httpProxy, httpsProxy: '', noProxy: '' },
  };
  await using notifier = await openNotifier(config);
  await notifier.onEvent(pushOf('v1'));
  const [delivery] = await receiver.received(1);
  expect(delivery?.headers.host).toBe('ci.example.com');
  expect(asked).toEqual(['http://ci.example.com/hook']);
  await until('the inner one is refused', () => notifier.report()[1]?.lastFailure?.includes('which is not allowed'));
});
