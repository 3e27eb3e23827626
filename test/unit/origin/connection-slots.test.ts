import { expect, test } from 'vitest';
import { ConnectionSlots } from '../../../src/origin/connection-slots.ts';

test('who comes beyond the limit waits until a slot is given back', async () => {
  const slots = new ConnectionSlots(1);
  const release = await slots.acquire();
  let isAdmitted = false;
  const waiting = slots.acquire().then((next) => {
    isAdmitted = true;
    return next;
  });
  await Promise.resolve();
  expect(isAdmitted).toBe(false);
  release();
  release();
  const releaseNext = await waiting;
  expect(slots.used).toBe(1);
  releaseNext();
  expect(slots.used).toBe(0);
});

test('who gives up in the line takes no slot', async () => {
  const slots = new ConnectionSlots(1);
  const release = await slots.acquire();
  const leaver = new AbortController();
  const left = slots.acquire({ signal: leaver.signal });
  leaver.abort();
  await expect(left).rejects.toThrow(/abort/i);
  release();
  expect(slots.used).toBe(0);
});
