import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { until } from '../../support/programs.ts';
import { openNotifier, outboxFolder, startReceiver, tagsOf } from './notify-fixture.ts';
import { endpoint, notifyConfig, pushOf } from './notify-values.ts';

describe('deliveries', () => {
  test('a push is told in the envelope of the distribution registry', async () => {
    const receiver = await startReceiver();
    await using notifier = await openNotifier({ ...notifyConfig(endpoint(receiver.url)), includeReferences: true });
    await notifier.onEvent(pushOf('v1'));
    const [delivery] = await receiver.received(1);
    expect(delivery?.headers['content-type']).toBe('application/vnd.docker.distribution.events.v2+json');
    expect(JSON.parse(delivery?.body ?? '')).toEqual({
      events: [
        {
          id: 'event-1',
          timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          action: 'push',
          target: {
            mediaType: 'application/vnd.oci.image.manifest.v1+json',
            digest: `sha256:${'a'.repeat(64)}`,
            size: 527,
            length: 527,
            repository: 'team/app',
            url: `http://seed.lan:5000/v2/team/app/manifests/sha256:${'a'.repeat(64)}`,
            tag: 'v1',
            references: [
              { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'b'.repeat(64)}`, size: 2 },
            ],
          },
          request: {
            id: 'request-1',
            addr: '10.1.2.3:4567',
            host: 'seed.lan:5000',
            method: 'PUT',
            useragent: 'docker/28',
          },
          actor: {},
          source: { addr: 'seed.lan:5000', instanceID: 'instance-1' },
        },
      ],
    });
  });

  test('a deleted tag is told with nothing but repository and tag', async () => {
    const receiver = await startReceiver();
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url)));
    const { request } = pushOf('v1');
    await notifier.onEvent({ action: 'delete', repository: 'team/app', tag: 'v1', request });
    const [delivery] = await receiver.received(1);
    expect(delivery?.event.target).toEqual({ repository: 'team/app', tag: 'v1' });
  });

  test('a mounted blob is told with where it came from, and where it can be fetched', async () => {
    const receiver = await startReceiver();
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url)));
    const { request, digest } = pushOf('v1');
    const blob = { repository: 'team/app', fromRepository: 'team/base', digest, sizeBytes: 12 };
    await notifier.onEvent({ action: 'mount', ...blob, request });
    const [delivery] = await receiver.received(1);
    expect(delivery?.event.target).toEqual({
      mediaType: 'application/octet-stream',
      digest,
      size: 12,
      length: 12,
      repository: 'team/app',
      fromRepository: 'team/base',
      url: `http://seed.lan:5000/v2/team/app/blobs/${digest}`,
    });
  });

  test('configured headers are sent, several of one name and over our own', async () => {
    const receiver = await startReceiver();
    const headers = [
      { name: 'Authorization', value: 'Bearer abc' },
      { name: 'X-Team', value: 'one' },
      { name: 'X-Team', value: 'two' },
      { name: 'User-Agent', value: 'other' },
    ];
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { headers })));
    await notifier.onEvent(pushOf('v1'));
    const [delivery] = await receiver.received(1);
    expect(delivery?.headers).toMatchObject({
      authorization: 'Bearer abc',
      'x-team': 'one, two',
      'user-agent': 'other',
    });
  });

  test('with a secret the id, the time and the body are signed; without one nothing is', async () => {
    const receiver = await startReceiver();
    const signed = endpoint(receiver.url, { name: 'signed', secret: 'a plain secret' });
    await using notifier = await openNotifier(notifyConfig(signed));
    await notifier.onEvent(pushOf('v1'));
    const [first] = await receiver.received(1);
    const timestamp = String(first?.headers['webhook-timestamp']);
    const expected = createHmac('sha256', 'a plain secret').update(`event-1.${timestamp}.${first?.body}`);
    expect(first?.headers['webhook-signature']).toBe(`v1,${expected.digest('base64')}`);
    expect(Math.abs(Number(timestamp) * 1000 - Date.now())).toBeLessThan(60_000);
    await notifier.reconfigure(notifyConfig({ ...signed, secret: undefined }));
    await notifier.onEvent(pushOf('v2'));
    const [, second] = await receiver.received(2);
    expect(second?.headers).toMatchObject({ 'webhook-id': 'event-2' });
    expect(second?.headers).not.toHaveProperty('webhook-signature');
  });

  test('events come in order and one at a time, while many are recorded at once', async () => {
    let running = 0;
    let mostRunning = 0;
    const receiver = await startReceiver(() => (response) => {
      mostRunning = Math.max(mostRunning, (running += 1));
      setImmediate(() => {
        running -= 1;
        response.end();
      });
    });
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url)));
    const tags = Array.from({ length: 50 }, (_, index) => `v${index}`);
    await Promise.all(tags.map(async (tag) => await notifier.onEvent(pushOf(tag))));
    expect(tagsOf(await receiver.received(50))).toEqual(tags);
    expect(mostRunning).toBe(1);
  });

  test('ignored actions and media types are not told, and a disabled endpoint is told nothing', async () => {
    const [busy, disabled] = [await startReceiver(), await startReceiver()];
    const config = notifyConfig(
      endpoint(busy.url, {
        ignoredActions: ['pull'],
        ignoredMediaTypes: ['application/vnd.oci.image.index.v1+json'],
      }),
      endpoint(disabled.url, { name: 'off', disabled: true }),
    );
    await using notifier = await openNotifier(config);
    await notifier.onEvent({ ...pushOf('pulled'), action: 'pull' });
    await notifier.onEvent({ ...pushOf('index'), mediaType: 'application/vnd.oci.image.index.v1+json' });
    await notifier.onEvent(pushOf('told'));
    expect(tagsOf(await busy.received(1))).toEqual(['told']);
    expect(disabled.seen).toEqual([]);
    expect(notifier.report()).toMatchObject([
      { name: 'ci', disabled: false },
      { name: 'off', disabled: true, pendingCount: 0 },
    ]);
  });
});

describe('failures', () => {
  test('a failing endpoint is tried again with the same event until it takes it', async () => {
    const receiver = await startReceiver((index) => (index < 5 ? 503 : 202));
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { secret: 'whsec_c2VjcmV0' })));
    await notifier.onEvent(pushOf('v1'));
    await notifier.onEvent(pushOf('v2'));
    const deliveries = await receiver.received(7);
    expect(tagsOf(deliveries)).toEqual(['v1', 'v1', 'v1', 'v1', 'v1', 'v1', 'v2']);
    expect(new Set(deliveries.slice(0, 6).map(({ body }) => body)).size).toBe(1);
    expect(new Set(deliveries.slice(0, 6).map(({ headers }) => headers['webhook-id']))).toEqual(new Set(['event-1']));
    await until('the queue is empty', () => notifier.report()[0]?.pendingCount === 0);
  });

  test('tries follow at once up to the threshold, and with the pause from there on', async () => {
    const pauses: number[] = [];
    const sleep = async (delayMs: number): Promise<void> => {
      pauses.push(delayMs);
      await Promise.resolve();
    };
    const receiver = await startReceiver((index) => (index < 5 ? 500 : 200));
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { threshold: 3, backoffMs: 1234 })), {
      deps: { clock: { nowMs: () => Date.now(), sleep } },
    });
    await notifier.onEvent(pushOf('v1'));
    await receiver.received(6);
    expect(pauses).toEqual([0, 0, 1234, 1234, 1234]);
  });

  test('an endpoint that gives no answer in time is asked again', async () => {
    const receiver = await startReceiver((index) => (index === 0 ? (): void => undefined : 200));
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { timeoutMs: 50 })));
    await notifier.onEvent(pushOf('v1'));
    expect(tagsOf(await receiver.received(2))).toEqual(['v1', 'v1']);
    expect(notifier.report()[0]?.lastFailure).toBe('it gave no answer within 50 ms');
  });

  test('a redirect is not followed', async () => {
    const target = await startReceiver();
    const receiver = await startReceiver((index) =>
      index > 0 ? 200 : (response): void => void response.writeHead(307, { location: target.url }).end(),
    );
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url)));
    await notifier.onEvent(pushOf('v1'));
    await receiver.received(2);
    expect(target.seen).toEqual([]);
    expect(notifier.report()[0]?.lastFailure).toBe(`it answered 307 to ${target.url}; redirects are not followed`);
  });

  test('an event that is refused does not keep back the others, and is listed', async () => {
    const receiver = await startReceiver((index) => (index < 3 ? 422 : 200));
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { threshold: 3 })));
    await notifier.onEvent(pushOf('poison'));
    await notifier.onEvent(pushOf('good'));
    expect(tagsOf(await receiver.received(4))).toEqual(['poison', 'poison', 'poison', 'good']);
    expect(await Array.fromAsync(notifier.deadLetters())).toMatchObject([
      { endpoint: 'ci', reason: 'it answered 422', event: { id: 'event-1', target: { tag: 'poison' } } },
    ]);
    expect(await notifier.retryDeadLetters('ci')).toBe(1);
    expect(tagsOf(await receiver.received(5)).at(-1)).toBe('poison');
    expect(await Array.fromAsync(notifier.deadLetters('ci'))).toEqual([]);
  });

  test('an event that grew too old is given up', async () => {
    let nowMs = Date.UTC(2026, 0, 1);
    const receiver = await startReceiver((index) => {
      nowMs += 40_000;
      return index < 2 ? 503 : 200;
    });
    const sleep = async (): Promise<void> => await Promise.resolve();
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { giveUpAfterMs: 60_000 })), {
      deps: { clock: { nowMs: () => nowMs, sleep } },
    });
    await notifier.onEvent(pushOf('old'));
    await receiver.received(2);
    const [report] = await until('the event is given up', () => {
      const reports = notifier.report();
      return reports[0]?.deadLetterCount === 1 ? reports : undefined;
    });
    expect(report).toMatchObject({ pendingCount: 0, failuresInARow: 2, lastFailure: 'it answered 503' });
  });

  test('where too many wait the oldest is given up, and of too many dead letters the oldest is forgotten', async () => {
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    const receiver = await startReceiver((index) =>
      index > 0 ? 200 : (response) => void opened.then(() => response.end()),
    );
    await using notifier = await openNotifier(
      notifyConfig(endpoint(receiver.url, { maxPending: 3, maxDeadLetters: 2 })),
    );
    await notifier.onEvent(pushOf('in-hand'));
    await receiver.received(1);
    for (const tag of ['a', 'b', 'c', 'd', 'e']) await notifier.onEvent(pushOf(tag));
    expect(notifier.report()).toMatchObject([{ pendingCount: 3, deadLetterCount: 2 }]);
    const dead = await Array.fromAsync(notifier.deadLetters());
    expect(dead.map(({ event }) => (event as { target: { tag: string } }).target.tag)).toEqual(['b', 'c']);
    open();
    expect(tagsOf(await receiver.received(3))).toEqual(['in-hand', 'd', 'e']);
  });
});

describe('the outbox', () => {
  test('what was not delivered is delivered by the next process, in order', async () => {
    const folder = await outboxFolder();
    const down = await startReceiver(() => 503);
    {
      await using notifier = await openNotifier(notifyConfig(endpoint(down.url, { backoffMs: 60_000 })), { folder });
      for (const tag of ['a', 'b', 'c']) await notifier.onEvent(pushOf(tag));
    }
    const receiver = await startReceiver();
    await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url)), { folder });
    await notifier.onEvent(pushOf('d'));
    expect(tagsOf(await receiver.received(4))).toEqual(['a', 'b', 'c', 'd']);
  });

  test('an endpoint is changed while it fails, and no event is missed', async () => {
    const down = await startReceiver(() => 503);
    const receiver = await startReceiver();
    await using notifier = await openNotifier(notifyConfig(endpoint(down.url, { backoffMs: 60_000 })));
    const recording = ['a', 'b', 'c'].map(async (tag) => await notifier.onEvent(pushOf(tag)));
    await notifier.reconfigure(notifyConfig(endpoint(receiver.url)));
    await Promise.all(recording);
    expect(tagsOf(await receiver.received(3))).toEqual(['a', 'b', 'c']);
  });

  test('events of an endpoint that is no longer configured are dropped', async () => {
    const folder = await outboxFolder();
    const down = await startReceiver(() => 503);
    const config = notifyConfig(endpoint(down.url, { backoffMs: 60_000 }));
    {
      await using notifier = await openNotifier(config, { folder });
      await notifier.onEvent(pushOf('a'));
      await notifier.reconfigure(notifyConfig());
      await expect(notifier.retryDeadLetters('ci')).rejects.toMatchObject({ code: 'ERR_WEBHOOK_UNKNOWN' });
    }
    await using notifier = await openNotifier(config, { folder });
    expect(notifier.report()).toMatchObject([{ pendingCount: 0, deadLetterCount: 0 }]);
  });
});

describe('what is refused', () => {
  test('an action that there is not', async () => {
    const config = notifyConfig(endpoint('https://example.com/', { ignoredActions: ['pulls'] }));
    await expect(openNotifier(config)).rejects.toMatchObject({ code: 'ERR_WEBHOOK_INVALID' });
  });

  test.for(['Host', 'content-length', 'Transfer-Encoding', 'Webhook-Signature'])('the header %s', async (name) => {
    const config = notifyConfig(endpoint('https://example.com/', { headers: [{ name, value: 'x' }] }));
    await expect(openNotifier(config)).rejects.toMatchObject({ code: 'ERR_WEBHOOK_INVALID' });
  });
});
