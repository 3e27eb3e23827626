/** Where notifications may go. The node must not be a way into the operator's network for whoever may name an endpoint. */
import type { LookupAddress } from 'node:dns';
import { expect, test } from 'vitest';
import { until } from '../../support/programs.ts';
import { openNotifier, startReceiver } from './notify-fixture.ts';
import { endpoint, notifyConfig, pushOf } from './notify-values.ts';

const INNER = [
  '127.0.0.1',
  '10.0.0.5',
  '192.168.1.1',
  '169.254.169.254',
  '0.0.0.0',
  '[::1]',
  '[fe80::1]',
  '[fd00::1]',
  '[::ffff:127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '2130706433',
  '0x7f.1',
];

test.for(INNER)('the address %s is refused unless it is allowed', async (host) => {
  const receiver = await startReceiver();
  const url = `http://${host}:${receiver.port}/hook`;
  await using notifier = await openNotifier(notifyConfig(endpoint(url, { allowPrivate: false })));
  await notifier.onEvent(pushOf('v1'));
  await until('the endpoint fails', () => notifier.report()[0]?.lastFailure?.includes('which is not allowed'));
  expect(receiver.seen).toEqual([]);
});

test('a name is refused for one inner address among public ones', async () => {
  const receiver = await startReceiver();
  const addresses: LookupAddress[] = [
    { address: '93.184.216.34', family: 4 },
    { address: '127.0.0.1', family: 4 },
  ];
  const url = `http://hooks.example.com:${receiver.port}/hook`;
  await using notifier = await openNotifier(notifyConfig(endpoint(url, { allowPrivate: false })), {
    deps: { resolveHost: async () => await Promise.resolve(addresses) },
  });
  await notifier.onEvent(pushOf('v1'));
  await until('the endpoint fails', () => notifier.report()[0]?.lastFailure?.includes('which is not allowed'));
  expect(receiver.seen).toEqual([]);
});

test('a name that changes its address is judged by the address that is connected to', async () => {
  const receiver = await startReceiver();
  let lookups = 0;
  const resolveHost = async (): Promise<LookupAddress[]> => {
    lookups += 1;
    // Public when first asked, as a check before the connection would ask; inner from then on.
    return await Promise.resolve([{ address: lookups === 1 ? '192.0.2.1' : '127.0.0.1', family: 4 }]);
  };
  const url = `http://rebinding.example.com:${receiver.port}/hook`;
  await using notifier = await openNotifier(
    notifyConfig(endpoint(url, { allowPrivate: false, timeoutMs: 100, backoffMs: 5 })),
    { deps: { resolveHost } },
  );
  await notifier.onEvent(pushOf('v1'));
  await until('the name was looked up again', () => lookups >= 3);
  await until('the endpoint fails', () => notifier.report()[0]?.lastFailure?.includes('which is not allowed'));
  expect(receiver.seen).toEqual([]);
});

test('an allowed inner name is reached, at the address that was looked up', async () => {
  const receiver = await startReceiver();
  const url = `http://hooks.lan:${receiver.port}/hook`;
  await using notifier = await openNotifier(notifyConfig(endpoint(url, { allowPrivate: true })), {
    deps: { resolveHost: async () => await Promise.resolve([{ address: '127.0.0.1', family: 4 }]) },
  });
  await notifier.onEvent(pushOf('v1'));
  const [delivery] = await receiver.received(1);
  expect(delivery?.headers.host).toBe(`hooks.lan:${receiver.port}`);
});
