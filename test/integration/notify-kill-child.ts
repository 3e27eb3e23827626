/**
 * The process that test/integration/notify-kill.test.ts kills: records events as fast as it can, and tells on standard output
 * of each that the notifier said was written down. Arguments: folder, URL of the receiver, number of the first event.
 */
import { randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { Notifier } from '../../src/notify/notifier.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { endpoint, notifyConfig, pushOf } from '../unit/notify/notify-values.ts';

const [folder = '', url = '', first = '0'] = process.argv.slice(2);
const notifier = await Notifier.open(
  folder,
  {
    log: pino({ level: 'silent' }),
    metrics: new Registry(),
    clock: systemClock,
    resolveHost: async () => await Promise.reject(new Error('no name is looked up here')),
    newId: randomUUID,
    source: { address: 'seed.lan:5000', instanceId: randomUUID() },
  },
  notifyConfig(endpoint(url, { maxPending: 1_000_000 })),
);
for (let number = Number(first); ; number += 1) {
  await notifier.onEvent(pushOf(String(number)));
  writeSync(1, `${number}\n`);
}
