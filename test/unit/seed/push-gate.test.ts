import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/name.ts';
import { PushGate } from '../../../src/seed/push-gate.ts';

const BLOB = digestOf(Buffer.from('blob'));
const OTHER = digestOf(Buffer.from('other'));
const APP = parseRepositoryName('team/app');

/** Work that ends when it is told to, and says when it has begun. */
function heldWork(): {
  readonly begun: Promise<void>;
  readonly end: () => void;
  readonly work: () => Promise<boolean>;
} {
  const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const work = async (): Promise<boolean> => {
    begun.resolve();
    await ended.promise;
    return true;
  };
  return { begun: begun.promise, end: ended.resolve, work };
}

const remove = async (): Promise<boolean> => await Promise.resolve(true);

describe('a blob', () => {
  test('in use is left alone, also when its use began before the watch', async () => {
    const gate = new PushGate();
    const push = heldWork();
    const pushing = gate.useBlob(BLOB, push.work);
    using watch = gate.watch();
    expect(await watch.take(BLOB, remove)).toBe(false);
    expect(await watch.take(OTHER, remove)).toBe(true);
    push.end();
    await pushing;
    expect(await watch.take(BLOB, remove)).toBe(false);
  });

  test('that was used since the watch began is left alone, and by the next watch it is not', async () => {
    const gate = new PushGate();
    {
      using watch = gate.watch();
      await gate.useBlob(BLOB, remove);
      expect(await watch.take(BLOB, remove)).toBe(false);
    }
    using next = gate.watch();
    expect(await next.take(BLOB, remove)).toBe(true);
  });

  test('that is being removed is waited for, others are not', async () => {
    const gate = new PushGate();
    using watch = gate.watch();
    const removal = heldWork();
    const taking = watch.take(BLOB, removal.work);
    const order: string[] = [];
    const pushing = gate.useBlob(BLOB, async () => await Promise.resolve(order.push('pushed')));
    await gate.useBlob(OTHER, async () => await Promise.resolve(order.push('other')));
    order.push('removed');
    removal.end();
    expect(await taking).toBe(true);
    await pushing;
    expect(order).toEqual(['other', 'removed', 'pushed']);
  });

  test('can be used after a removal that failed', async () => {
    const gate = new PushGate();
    using watch = gate.watch();
    await expect(watch.take(BLOB, async () => await Promise.reject(new Error('disk')))).rejects.toThrow('disk');
    expect(await gate.useBlob(BLOB, remove)).toBe(true);
  });
});

describe('a repository', () => {
  test('lets pushes in together, and a removal alone between them', async () => {
    const gate = new PushGate();
    const [first, second] = [heldWork(), heldWork()];
    const pushes = [gate.addLink(APP, first.work), gate.addManifest(APP, second.work)];
    await Promise.all([first.begun, second.begun]);
    const order: string[] = [];
    const removing = gate.removeFrom(APP, async () => await Promise.resolve(order.push('removed')));
    const late = gate.addLink(APP, async () => await Promise.resolve(order.push('late')));
    order.push('first end');
    first.end();
    order.push('second end');
    second.end();
    await Promise.all([...pushes, removing, late]);
    expect(order).toEqual(['first end', 'second end', 'removed', 'late']);
  });

  test('a manifest that is pushed while it is looked at is counted when it is there', async () => {
    const gate = new PushGate();
    const push = heldWork();
    const pushing = gate.addManifest(APP, push.work);
    await push.begun;
    using watch = gate.watch();
    expect(watch.manifestCount(APP)).toBe(0);
    push.end();
    await pushing;
    expect(watch.manifestCount(APP)).toBe(1);
    await gate.addLink(APP, remove);
    expect(watch.manifestCount(APP)).toBe(1);
  });
});
