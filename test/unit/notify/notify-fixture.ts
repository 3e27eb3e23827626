/** A receiver of webhooks under the test's control, and a notifier that tells it things. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import type { NotifyConfig } from '../../../src/notify/endpoint-config.ts';
import type { WireEvent } from '../../../src/notify/envelope.ts';
import { Notifier, type NotifierDeps } from '../../../src/notify/notifier.ts';
import { systemClock } from '../../../src/origin/clock.ts';

/** A delivery as the receiver saw it. */
export interface SeenDelivery {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly event: WireEvent;
}

export interface Receiver {
  readonly url: string;
  readonly port: number;
  /** What came, whatever was answered. */
  readonly seen: SeenDelivery[];
  /** Resolves when so many deliveries have come. */
  received(count: number): Promise<readonly SeenDelivery[]>;
}

/** How a receiver answers: a status, or by hand. */
export type Answer = number | ((response: ServerResponse) => void);

/** Starts a receiver on loopback, gone when the test is. @param answerTo the answer to the delivery with this index */
export async function startReceiver(answerTo: (index: number) => Answer = () => 200): Promise<Receiver> {
  const seen: SeenDelivery[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
      const { events } = JSON.parse(body) as { events: [WireEvent] };
      const answer = answerTo(seen.length);
      seen.push({ headers: request.headers, body, event: events[0] });
      if (typeof answer === 'number') response.writeHead(answer).end();
      else answer(response);
      for (const { count, resolve } of waiting) if (seen.length >= count) resolve();
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const received = async (count: number): Promise<readonly SeenDelivery[]> => {
    await new Promise<void>((resolve) => {
      waiting.push({ count, resolve });
      if (seen.length >= count) resolve();
    });
    return seen;
  };
  return { url: `http://127.0.0.1:${port}/hook`, port, seen, received };
}

/** A folder for an outbox, gone when the test is. */
export async function outboxFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-notify-'));
  onTestFinished(async () => await rm(folder, { recursive: true, force: true }));
  return join(folder, 'webhooks');
}

/** Opens a notifier; the caller disposes it. */
export async function openNotifier(
  config: NotifyConfig,
  facts: { folder?: string; deps?: Partial<NotifierDeps> } = {},
): Promise<Notifier> {
  let lastId = 0;
  return await Notifier.open(
    facts.folder ?? (await outboxFolder()),
    {
      log: pino({ level: 'silent' }),
      metrics: new Registry(),
      clock: systemClock,
      resolveHost: async () => await Promise.reject(new Error('no name is looked up here')),
      newId: () => `event-${(lastId += 1)}`,
      source: { address: 'seed.lan:5000', instanceId: 'instance-1' },
      ...facts.deps,
    },
    config,
  );
}

/** The tags of events, in order. */
export function tagsOf(deliveries: readonly SeenDelivery[]): unknown[] {
  return deliveries.map(({ event }) => event.target['tag']);
}
