/**
 * What has to be undone when a benchmark is ended half-way: processes, network namespaces, folders. `await using` does it
 * when a run fails; a signal would end this process before.
 */
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';

type Cleanup = () => Promise<void>;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** As shells tell of a signal. */
const SIGNAL_EXIT_CODE = 128;

const cleanups = new Set<Cleanup>();
let isInterrupted = false;

/** Has `cleanup` called when a signal comes, until the answer is disposed. `cleanup` may run beside its ordinary call. */
export function onInterruption(cleanup: Cleanup): Disposable {
  cleanups.add(cleanup);
  return { [Symbol.dispose]: () => void cleanups.delete(cleanup) };
}

/** Runs a program to its end; a signal undoes what is open, newest first, and ends the process. A second one ends it at once. */
export async function untilInterrupted(program: () => Promise<void>): Promise<void> {
  for (const signal of SIGNALS) process.on(signal, () => void interrupt(signal));
  try {
    await program();
  } catch (error) {
    // What is undone under a run's feet makes it fail; `interrupt` ends the process.
    if (isInterrupted) await new Promise(() => undefined);
    throw error;
  }
}

async function interrupt(signal: (typeof SIGNALS)[number]): Promise<void> {
  const exitCode = SIGNAL_EXIT_CODE + constants.signals[signal];
  if (isInterrupted) process.exit(exitCode);
  isInterrupted = true;
  process.on('unhandledRejection', () => undefined);
  console.error(`${signal}: ending what was started`);
  await killChildren();
  for (const cleanup of [...cleanups].toReversed()) {
    await cleanup().catch((error: unknown) => console.error('something was left behind:', error));
  }
  process.exit(exitCode);
}

/** Ends the processes that this one started and that are still there, those included that nobody has taken charge of yet. */
async function killChildren(): Promise<void> {
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').catch(() => '');
  for (const child of children.split(' ').filter((text) => text !== '')) {
    try {
      process.kill(Number(child), 'SIGKILL');
    } catch {
      // It has ended in between.
    }
  }
}
