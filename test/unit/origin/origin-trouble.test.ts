import { pino } from 'pino';
import { expect, test } from 'vitest';
import { BREAKER_DEFAULTS } from '../../../src/origin/circuit-breaker.ts';
import { asError } from '../../../src/oci/error.ts';
import { TROUBLE_REPEAT_MS } from '../../../src/origin/trouble-log.ts';
import { freePort } from '../../support/programs.ts';
import {
  LATEST,
  makeOrigin,
  MANIFEST_BYTES,
  MANIFEST_HEADERS,
  REPOSITORY,
  startServer,
  startTlsServer,
} from './origin-fixture.ts';
import { makeCertificate } from './tls-fixture.ts';

/** A log at the usual level, and what it was told. */
function listeningLog(): { log: pino.Logger; lines: () => Record<string, unknown>[] } {
  const texts: string[] = [];
  const log = pino({ level: 'info', base: {} }, { write: (text: string) => void texts.push(text) });
  return { log, lines: () => texts.map((text) => JSON.parse(text) as Record<string, unknown>) };
}

test('while an upstream cannot be reached, every error names why, and the log tells it once', async () => {
  const { log, lines } = listeningLog();
  const { origin, clock } = makeOrigin({ url: `http://127.0.0.1:${await freePort()}`, maxRetries: 0 }, { log });
  const messages: string[] = [];
  for (let count = 0; count < 8; count += 1) {
    if (count === 6) clock.aheadMs += BREAKER_DEFAULTS.outageMs;
    await origin.resolveTag(REPOSITORY, LATEST).catch((error: unknown) => messages.push(asError(error).message));
  }
  expect(messages).toHaveLength(8);
  for (const message of messages) expect(message).toContain('cannot be reached: ECONNREFUSED (nothing listens there)');
  expect(messages.at(-1)).toContain('it is tried again every few seconds');
  expect(lines()).toMatchObject([
    { msg: 'upstream fails', upstream: 'origin.test', reason: expect.stringContaining('ECONNREFUSED') as string },
  ]);
});

test('a cause that opens the breaker in the midst of attempts is told to the one who asked first', async () => {
  const { log, lines } = listeningLog();
  const { origin, clock, metric } = makeOrigin({ url: 'http://no-such-host.invalid' }, { log });
  for (const isOpen of [0, 1]) {
    await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({
      code: 'ERR_ORIGIN_UNAVAILABLE',
      message: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) as string,
      details: { upstream: 'origin.test', causeCode: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) as string },
    });
    expect(await metric('dockyard_origin_breaker_open')).toBe(isOpen);
    clock.aheadMs += BREAKER_DEFAULTS.outageMs;
  }
  expect(lines().filter(({ msg }) => msg === 'upstream fails')).toHaveLength(1);
});

test('a certificate that is not trusted is told in the log', async () => {
  const { log, lines } = listeningLog();
  const server = await startTlsServer(await makeCertificate(), (_request, response) => void response.end());
  const { origin } = makeOrigin({ url: server.url }, { log });
  await expect(origin.resolveTag(REPOSITORY, LATEST)).rejects.toMatchObject({ code: 'ERR_ORIGIN_UNTRUSTED' });
  expect(lines()).toMatchObject([{ msg: 'upstream fails', code: 'ERR_ORIGIN_UNTRUSTED' }]);
});

test('an upstream that answers again is told, and a trouble that lasts is told again after a while', async () => {
  const { log, lines } = listeningLog();
  let status = 500;
  let isBroken = true;
  const server = await startServer((_request, response) => {
    if (isBroken) response.destroy();
    else if (status === 200) response.writeHead(200, MANIFEST_HEADERS).end(MANIFEST_BYTES);
    else response.writeHead(status).end();
  });
  const { origin, clock } = makeOrigin({ url: server.url, maxRetries: 0 }, { log });
  const ask = async (): Promise<void> => void (await origin.resolveTag(REPOSITORY, LATEST).catch(() => undefined));
  await ask();
  await ask();
  clock.aheadMs += TROUBLE_REPEAT_MS + 1;
  await ask();
  // Long enough for the breaker to let one request try.
  clock.aheadMs += 6_000;
  isBroken = false;
  await ask();
  status = 200;
  await ask();
  expect(lines().map(({ msg, requestsSince }) => [msg, requestsSince])).toEqual([
    ['upstream fails', undefined],
    ['upstream fails', 1],
    ['upstream answers again', undefined],
    ['upstream fails', undefined],
  ]);
});
