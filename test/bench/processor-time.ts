/** How busy the machine was: whether a figure tells of links or of processors. */
import { readFile } from 'node:fs/promises';

/** Hundredths of a second are what Linux counts processor time in, on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;

/** What happened between two readings. */
export interface ProcessorUse {
  /** Of all processors: 1 when none was ever idle. */
  readonly busyShare: number;
  /** Processor seconds of everything on the machine. */
  readonly busySeconds: number;
  /** Processor seconds that the host of a virtual machine kept for others. */
  readonly stolenSeconds: number;
}

/** Begins to measure; the answer tells what was used since. */
export async function processorClock(): Promise<() => Promise<ProcessorUse>> {
  const before = await readTicks();
  return async () => {
    const after = await readTicks();
    const total = after.total - before.total;
    const busy = after.busy - before.busy;
    return {
      busyShare: busy / total,
      busySeconds: busy / TICKS_PER_SECOND,
      stolenSeconds: (after.stolen - before.stolen) / TICKS_PER_SECOND,
    };
  };
}

/** Processor seconds of this process so far, and of those that it started and that have ended. */
export async function ownSeconds(): Promise<number> {
  const stat = await readFile('/proc/self/stat', 'utf8');
  // The second field is the name in parentheses, which may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks / TICKS_PER_SECOND;
}

/** @see proc(5), /proc/stat: user nice system idle iowait irq softirq steal */
async function readTicks(): Promise<{ total: number; busy: number; stolen: number }> {
  const line = /^cpu +(.*)$/m.exec(await readFile('/proc/stat', 'utf8'))?.[1] ?? '';
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, stolen = 0] = line
    .split(' ')
    .map(Number);
  const busy = user + nice + system + irq + soft;
  return { total: busy + idle + wait + stolen, busy, stolen };
}
