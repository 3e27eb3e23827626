import { expect, test } from 'vitest';
import { JointRequests } from '../../../src/origin/joint-requests.ts';

test('requests for one thing share one work, and the next one starts anew', async () => {
  const joint = new JointRequests<number>();
  let runs = 0;
  const { promise, resolve } = Promise.withResolvers<number>();
  const work = (): Promise<number> => {
    runs += 1;
    return promise;
  };
  const answers = Promise.all([joint.run('a', work), joint.run('a', work), joint.run('b', work)]);
  expect([runs, joint.size]).toEqual([2, 2]);
  resolve(7);
  expect(await answers).toEqual([7, 7, 7]);
  expect(joint.size).toBe(0);
  await joint.run('a', work);
  expect(runs).toBe(3);
});

test('a waiter that gives up leaves the others theirs', async () => {
  const joint = new JointRequests<string>();
  const { promise, resolve } = Promise.withResolvers<string>();
  const leaver = new AbortController();
  const reason = new Error('the client has gone');
  let signal: AbortSignal | undefined;
  const left = joint.run('a', (given) => ((signal = given), promise), { signal: leaver.signal });
  const stayed = joint.run('a', () => promise);
  leaver.abort(reason);
  await expect(left).rejects.toBe(reason);
  expect(signal?.aborted).toBe(false);
  resolve('done');
  expect(await stayed).toBe('done');
});

test('the work is aborted when the last waiter has given up, and its failure troubles nobody', async () => {
  const joint = new JointRequests<string>();
  const leaver = new AbortController();
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const work = async (signal: AbortSignal): Promise<string> => {
    await new Promise((done) => signal.addEventListener('abort', done));
    resolve(undefined);
    throw new Error('aborted');
  };
  const left = joint.run('a', work, { signal: leaver.signal });
  leaver.abort();
  await expect(left).rejects.toThrow(/abort/i);
  await aborted;
  expect(joint.size).toBe(0);
});

test('a failure reaches every waiter', async () => {
  const joint = new JointRequests<string>();
  const work = (): Promise<string> => Promise.reject(new Error('no'));
  const outcomes = await Promise.allSettled([joint.run('a', work), joint.run('a', work)]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});
