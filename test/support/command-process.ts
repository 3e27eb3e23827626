/** `dockyard <command>`, in a process of its own as people and scripts run it, or, where that does not matter, in this one. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { runCommandLine } from '../../node/cli/run.ts';
import { processFacts } from '../../node/config/facts.ts';
import { MAIN, NODE_FLAGS } from './node-process.ts';

/** How a command ended. */
export interface CommandOutcome {
  /** -1 when it was ended by a signal. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A command that runs. */
export interface RunningCommand extends AsyncDisposable {
  readonly child: ChildProcess;
  /** What it wrote so far. */
  out(): string;
  err(): string;
  ended(): Promise<CommandOutcome>;
}

/** Starts a command. Disposing of it kills it. */
export function startDockyard(args: readonly string[], environment: Record<string, string> = {}): RunningCommand {
  const child = spawn(process.execPath, [...NODE_FLAGS, MAIN, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const closed = once(child, 'close').then(([code]) => ({ code: (code as number | null) ?? -1, out, err }));
  return {
    child,
    out: () => out,
    err: () => err,
    ended: () => closed,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

/** Runs a command to its end in this process: loading the program anew takes a second. */
export async function dockyard(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<CommandOutcome> {
  const [out, err] = [new TextSink(), new TextSink()];
  const facts = { ...processFacts(), environment: { ...process.env, ...environment } };
  const code = await runCommandLine(args, { out, err, isInteractive: false }, facts);
  return { code, out: out.text, err: err.text };
}

class TextSink extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
