/** How a node that is alone finds its way into a swarm. */
import { expect, test } from 'vitest';
import { Bootstrap } from '../../../src/swarm/bootstrap.ts';
import { MEMBERSHIP_DEFAULTS } from '../../../src/swarm/membership-config.ts';
import { MembershipContacts } from '../../../src/swarm/membership-contacts.ts';
import type { ExchangeTarget, MembersExchange } from '../../../src/swarm/membership-exchange.ts';
import { MemberTable } from '../../../src/swarm/members.ts';
import { TaskSet } from '../../../src/swarm/task-set.ts';
import { silent } from '../../integration/swarm-fixtures.ts';
import { fakeRecord } from './members-fixtures.ts';

test('a node whose first comparison of tables failed compares again over the connection that stands', async () => {
  const asked: string[] = [];
  const exchange = {
    sync: async ({ peerId }: ExchangeTarget): Promise<number> => {
      asked.push(peerId);
      return await Promise.reject(new Error('the other end was busy'));
    },
  } as Partial<MembersExchange> as MembersExchange;
  const tasks = new TaskSet();
  const { signal } = new AbortController();
  const dial = async (): Promise<string> => 'stranger';
  const resolve = async (): Promise<string[]> => [];
  const bootstrap = new Bootstrap({ dial, accepts: async () => false, resolve, random: () => 0, log: silent }, []);
  const deps = {
    table: new MemberTable(fakeRecord('self', 1), () => 0),
    exchange,
    bootstrap,
    connected: () => ['stranger'],
    searchNearby: async () => {},
    random: () => 0,
    log: silent,
    tasks,
    ending: signal,
  };
  const contacts = new MembershipContacts(deps, MEMBERSHIP_DEFAULTS, 0);
  for (const nowMs of [0, 1_000, 60_000]) {
    contacts.tick(nowMs);
    await tasks.settled();
  }
  expect(asked).toEqual(['stranger', 'stranger', 'stranger']);
});
