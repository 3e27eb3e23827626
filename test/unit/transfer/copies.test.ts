import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import type { Member } from '../../../src/swarm/member.ts';
import { ensureCopies } from '../../../src/transfer/copies.ts';
import type { PreheatImage, PreheatProgress } from '../../../src/transfer/preheat.ts';

const IMAGE: PreheatImage = {
  repository: { upstream: '', name: parseRepositoryName('team/app') },
  digest: digestOf(Buffer.from('image')),
  manifests: [],
  blobs: [],
};
const MEMBERS = Array.from({ length: 10 }, (_, at): Member => ({
  peerId: `peer-${at}`,
  dataAddresses: [],
  topology: '',
}));

class FakeSwarm {
  readonly holders = new Set<string>();
  readonly failing = new Set<string>();
  readonly fetched: string[] = [];
  readonly failures: string[] = [];
  alive = MEMBERS;

  async ensure(wanted: number): Promise<number> {
    const [self] = MEMBERS;
    if (self === undefined) throw new TypeError('no members');
    const run = async function* run(this: FakeSwarm, _image: unknown, nodes: readonly Member[]) {
      for (const { peerId } of nodes) {
        this.fetched.push(peerId);
        const state = this.failing.has(peerId) ? 'failed' : 'done';
        if (state === 'done') this.holders.add(peerId);
        yield await Promise.resolve({ peerId, state, heldBlobs: 0, heldBytes: 0 } satisfies PreheatProgress);
      }
    }.bind(this);
    return await ensureCopies(
      {
        members: { self, alive: () => this.alive },
        preheat: { run, isHeld: async (_image, { peerId }) => await Promise.resolve(this.holders.has(peerId)) },
        onFailure: (peerId) => void this.failures.push(peerId),
      },
      IMAGE,
      wanted,
      { signal: new AbortController().signal },
    );
  }
}

describe('copies', () => {
  test('are made at as many nodes as are lacking, and at the same ones again', async () => {
    const swarm = new FakeSwarm();
    expect(await swarm.ensure(3)).toBe(3);
    expect(swarm.fetched).toHaveLength(2);
    expect(swarm.fetched).not.toContain('peer-0');
    expect(await swarm.ensure(3)).toBe(3);
    expect(swarm.fetched).toHaveLength(2);
  });

  test('are made elsewhere when a holder has gone', async () => {
    const swarm = new FakeSwarm();
    await swarm.ensure(3);
    const [gone = ''] = swarm.fetched;
    swarm.alive = MEMBERS.filter(({ peerId }) => peerId !== gone);
    expect(await swarm.ensure(3)).toBe(3);
    expect(swarm.fetched).toHaveLength(3);
    expect(swarm.fetched.filter((peerId) => peerId === gone)).toHaveLength(1);
  });

  test('are made by others when a node cannot', async () => {
    const swarm = new FakeSwarm();
    await swarm.ensure(2);
    const [full = ''] = swarm.fetched.splice(0);
    swarm.holders.clear();
    swarm.failing.add(full);
    expect(await swarm.ensure(2)).toBe(2);
    expect(swarm.fetched[0]).toBe(full);
    expect(swarm.failures).toEqual([full]);
  });

  test('are as many as there are nodes at most', async () => {
    const swarm = new FakeSwarm();
    swarm.alive = MEMBERS.slice(0, 3);
    expect(await swarm.ensure(5)).toBe(3);
  });
});
