/** A thousand tables in virtual time, with lost messages: the rules of the membership without any network. */
import { describe, expect, test } from 'vitest';
import { MEMBER_TABLE_DEFAULTS, MemberTable, type MemberEntry } from '../../../src/swarm/members.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { fakeRecord } from './members-fixtures.ts';

const NODES = 1_000;
const LOSS = 0.2;
const STEP_MS = 200;
const SEED = 20_261_120;

/** Making a thousand tables of a thousand rows is quicker with less news to drop; what follows is far below the bound. */
const CONFIG = { ...MEMBER_TABLE_DEFAULTS, maxRumours: 32 };

class VirtualSwarm {
  readonly random = seededRandom(SEED);
  readonly tables = new Map<string, MemberTable>();
  readonly down = new Set<string>();
  nowMs = 0;

  constructor() {
    const records = Array.from({ length: NODES }, (_, index) => fakeRecord(`n${index}`, 1));
    for (const own of records) {
      const table = new MemberTable(own, this.random, CONFIG);
      for (const record of records) table.apply({ signed: record, state: 'alive' }, 0);
      while (table.hasRumours()) table.takeRumours(NODES);
      this.tables.set(own.member.peerId, table);
    }
  }

  /** One step of every node: it passes news to two others, and once a second probes a member. */
  step(): void {
    this.nowMs += STEP_MS;
    for (const [name, table] of this.tables) {
      if (this.down.has(name)) continue;
      if (table.hasRumours()) for (const entry of table.pickLive(2)) this.#exchange(table, entry);
      if (this.nowMs % 1_000 !== (Number(name.slice(1)) % 5) * STEP_MS) continue;
      table.expire(this.nowMs);
      const target = table.nextToProbe();
      if (target !== undefined && !this.#probe(table, target)) table.suspect(target.signed.member.peerId, this.nowMs);
    }
  }

  /** How many of the running nodes hold the belief. */
  believers(belief: (table: MemberTable) => boolean): number {
    return [...this.tables].filter(([name, table]) => !this.down.has(name) && belief(table)).length;
  }

  #probe(table: MemberTable, target: MemberEntry): boolean {
    if (this.#exchange(table, target)) return true;
    return table
      .pickLive(3)
      .some((helper) => this.#lives(helper) && this.random() > LOSS && this.#lives(target) && this.random() > LOSS);
  }

  #lives(entry: MemberEntry): boolean {
    return !this.down.has(entry.signed.member.peerId);
  }

  #exchange(table: MemberTable, target: MemberEntry): boolean {
    const other = this.tables.get(target.signed.member.peerId);
    const ill = target.state === 'alive' ? [] : [target];
    const news = [...ill, ...table.takeRumours(24)];
    if (other === undefined || !this.#lives(target) || this.random() < LOSS) return false;
    this.#hear(other, news);
    const answer = other.takeRumours(24);
    if (this.random() < LOSS) return false;
    this.#hear(table, answer);
    return true;
  }

  #hear(table: MemberTable, news: readonly ReturnType<MemberTable['takeRumours']>[number][]): void {
    for (const update of news) {
      if (table.apply(update, this.nowMs) !== 'refute') continue;
      const name = table.self.member.peerId;
      table.setSelf(fakeRecord(name, update.signed.record.incarnation + 1), this.nowMs);
    }
  }
}

describe('a swarm of 1,000 in which a fifth of all messages is lost', () => {
  test(`finds its dead, hears of its new, and buries nobody alive (seed ${SEED})`, { timeout: 60_000 }, () => {
    const swarm = new VirtualSwarm();
    const dead = ['n10', 'n200', 'n333', 'n500', 'n999'];
    for (const name of dead) swarm.down.add(name);
    const joiner = fakeRecord('joiner', 1);
    const friend = swarm.tables.get('n1');
    friend?.apply({ signed: joiner, state: 'alive' }, 0);
    let buried = 0;
    let joinedAtMs: number | undefined;
    let allDeadAtMs: number | undefined;
    while (swarm.nowMs < 40_000 && (joinedAtMs === undefined || allDeadAtMs === undefined)) {
      swarm.step();
      const running = NODES - dead.length;
      if (joinedAtMs === undefined && swarm.believers((table) => table.get('joiner') !== undefined) === running)
        joinedAtMs = swarm.nowMs;
      if (swarm.nowMs % 1_000 !== 0) continue;
      const knowing = swarm.believers((table) => dead.every((name) => table.get(name)?.state === 'dead'));
      if (allDeadAtMs === undefined && knowing === running) allDeadAtMs = swarm.nowMs;
      buried = Math.max(buried, ...[...swarm.tables.values()].map((table) => table.counts().dead - dead.length - 1));
    }
    expect(joinedAtMs).toBeLessThan(6_000);
    // Someone probes each of them within a few seconds, it is suspect for 6 s, and the news takes 3 s.
    expect(allDeadAtMs).toBeLessThan(25_000);
    expect(buried).toBeLessThanOrEqual(0);
  });
});
