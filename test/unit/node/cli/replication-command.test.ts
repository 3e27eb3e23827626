/** What people read of other seeds, and what they set going. */
import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { AdminServer } from '../../../../node/admin/admin-server.ts';
import { runCommandLine } from '../../../../node/cli/run.ts';
import { FakeSubject } from '../admin/fake-subject.ts';
import { makeFacts } from '../config/facts.ts';

async function outOf(subject: FakeSubject, ...args: string[]): Promise<string> {
  const deps = { subject, metrics: new Registry(), log: pino({ level: 'silent' }) };
  await using server = await AdminServer.open(deps, { listen: { host: '127.0.0.1', port: 0 } });
  const [out, err] = [new PassThrough(), new PassThrough()];
  const admin = `127.0.0.1:${server.address.port}`;
  const code = await runCommandLine([...args, '--admin', admin], { out, err, isInteractive: false }, makeFacts());
  expect(code).toBe(0);
  return (out.read() as Buffer).toString();
}

test('seeds that are followed are a table, and stand in the status', async () => {
  expect(await outOf(new FakeSubject(), 'replication')).toMatch(
    /seed +state +waiting .*\n *seed-b\.lan +1 change failed +3 .*nobody gives it/,
  );
  expect(await outOf(new FakeSubject(), 'status')).toContain('seed-b.lan: 1 change failed, 3 changes waiting');
});

test('they are compared with when that is asked for', async () => {
  const subject = new FakeSubject();
  expect(await outOf(subject, 'replication', 'compare')).toContain('comparing with 1 seed;');
  expect(subject.compared).toBe(1);
});
