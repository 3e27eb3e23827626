/** What is delivered when the process that records events is killed at any moment. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { seededRandom } from '../support/seeded-random.ts';
import { openNotifier, outboxFolder, startReceiver, tagsOf } from '../unit/notify/notify-fixture.ts';
import { endpoint, notifyConfig, pushOf } from '../unit/notify/notify-values.ts';

const CHILD = fileURLToPath(new URL('./notify-kill-child.ts', import.meta.url));
const ROUNDS = 6;
const SEED = Number(process.env['TEST_SEED'] ?? 20_261_121);

/** Runs the child until it has told of `count` events, kills it, and answers the last that it told of. */
async function recordAndKill(folder: string, url: string, first: number, count: number): Promise<number> {
  const child = spawn(process.execPath, [CHILD, folder, url, String(first)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let last = first - 1;
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line);
    if (last === first + count) child.kill('SIGKILL');
  }
  expect(await exited).toEqual([null, 'SIGKILL']);
  return last;
}

test(`every event that was written down is delivered, in order, over ${ROUNDS} kills (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  const isTaken: boolean[] = [];
  const receiver = await startReceiver((index) => {
    isTaken[index] = random() >= 0.2;
    return isTaken[index] ? 200 : 503;
  });
  const folder = await outboxFolder();
  const recorded: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    // One number is left out: the child may have written down an event that it had no time to tell of.
    const first = (recorded.at(-1) ?? -2) + 2;
    const last = await recordAndKill(folder, receiver.url, first, 5 + Math.floor(random() * 40));
    for (let number = first; number <= last; number += 1) recorded.push(number);
  }
  await using notifier = await openNotifier(notifyConfig(endpoint(receiver.url, { maxPending: 1_000_000 })), {
    folder,
  });
  await notifier.onEvent(pushOf('end'));
  for (let count = 1; receiver.seen.at(-1)?.event.target['tag'] !== 'end'; count += 1) await receiver.received(count);
  const taken = tagsOf(receiver.seen.filter((_, index) => isTaken[index]));
  const numbers = [...new Set(taken.filter((tag) => tag !== 'end').map(Number))];
  expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers);
  expect(recorded.filter((number) => !numbers.includes(number))).toEqual([]);
});
