/** What an operator is told of a bootstrap address that does not let this node in. */
import { expect, test } from 'vitest';
import { Bootstrap } from '../../../src/swarm/bootstrap.ts';
import type { PeerId } from '../../../src/swarm/member.ts';
import { captureLog } from '../../integration/swarm-fixtures.ts';

const ADDRESS = { host: 'seed.test', port: 5002 };

/** Dials once with an answer for each attempt; tells the codes and messages that were logged. */
async function toldOf(accepts: boolean, ...answers: (() => Promise<PeerId>)[]): Promise<string[]> {
  const { log, lines } = captureLog();
  const dial = async (): Promise<PeerId> => await (answers.shift()?.() ?? Promise.resolve('peer'));
  const bootstrap = new Bootstrap(
    { dial, accepts: async () => accepts, resolve: async () => ['192.0.2.1'], random: () => 0, log },
    [ADDRESS],
  );
  const { signal } = new AbortController();
  for (let left = answers.length; left > 0; left -= 1) await bootstrap.connect(new Set(), { signal });
  return lines.map((line) => {
    const err = line['err'] as { code: string; message: string } | undefined;
    return err === undefined ? String(line['msg']) : `${err.code} ${err.message}`;
  });
}

const failing = (reason: Error) => async (): Promise<PeerId> => await Promise.reject(reason);
const timeout = (): Error => new DOMException('The operation was aborted due to timeout', 'TimeoutError');

test('an address that takes no connection in time is not told as another swarm key', async () => {
  const wrapped = new AggregateError([timeout()], 'All multiaddr dials failed');
  for (const error of [timeout(), wrapped, new Error('dial failed', { cause: timeout() })]) {
    const [told] = await toldOf(false, failing(error));
    expect(told).toMatch(/^ERR_SWARM_UNREACHABLE 192\.0\.2\.1:5002 takes no connection in time/);
  }
});

test('a handshake that takes too long is told as another swarm key, or a node that does not answer', async () => {
  const [told] = await toldOf(true, failing(timeout()));
  expect(told).toMatch(/^ERR_SWARM_KEY_MISMATCH 192\.0\.2\.1:5002 accepts.* swarm key, or is stopped or overloaded/);
});

test('a handshake that fails is told as another swarm key', async () => {
  const [told] = await toldOf(true, failing(new Error('unexpected end of input')));
  expect(told).toMatch(/^ERR_SWARM_KEY_MISMATCH 192\.0\.2\.1:5002 accepts connections, but not with this swarm key/);
});

test('a failure is told once, and again when it is another one', async () => {
  const refused = failing(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
  const told = await toldOf(false, refused, refused, failing(timeout()), failing(timeout()), async () => 'peer');
  expect(told.map((line) => line.split(' ', 4).join(' '))).toEqual([
    'ERR_SWARM_UNREACHABLE nothing answers at',
    'ERR_SWARM_UNREACHABLE 192.0.2.1:5002 takes no',
    'bootstrap address connected',
  ]);
});
