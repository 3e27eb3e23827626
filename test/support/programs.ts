/** Programs that tests run, and how they wait for them. */
import { execFile, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';

const PROGRAM_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const POLL_MS = 20;

/** True when a program is on the path. */
export function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`));
}

/** How a program ended. */
export interface ProgramResult {
  /** -1 when it was ended by a signal. */
  readonly exitCode: number;
  /** Standard output, then standard error. */
  readonly output: string;
}

/** Runs a program to its end, for at most a minute. */
export async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<ProgramResult> {
  const options = { timeout: PROGRAM_TIMEOUT_MS, env: { ...process.env, ...env }, maxBuffer: MAX_OUTPUT_BYTES };
  return await new Promise((resolve) => {
    execFile(program, args, options, (error, out, err) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ exitCode, output: out + err });
    });
  });
}

/** Runs a program that has to succeed; answers what it wrote. */
export async function mustRun(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { exitCode, output } = await run(program, args, env);
  if (exitCode !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${exitCode}:\n${output}`);
  return output;
}

/** Ends a process that the caller started, and waits for it. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

/** Waits until `check` answers something other than undefined or false, or throws after a deadline. */
export async function until<Result>(
  what: string | (() => string),
  check: () => Promise<Result | undefined | false> | Result | undefined | false,
  deadlineMs = 20_000,
  pollMs = POLL_MS,
): Promise<Result> {
  const endsAtMs = performance.now() + deadlineMs;
  while (performance.now() < endsAtMs) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new Error(`waited in vain: ${typeof what === 'string' ? what : what()}`);
}

/** Below the ports that systems give to outgoing connections, which could otherwise take one between choice and use. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 12_000;

let lastPort = FIRST_PORT + ((process.pid * 131) % PORT_COUNT);

/** A port that is free and that nothing else is likely to take. */
export async function freePort(): Promise<number> {
  lastPort = lastPort + 1 < FIRST_PORT + PORT_COUNT ? lastPort + 1 : FIRST_PORT;
  const port = lastPort;
  const server = createServer();
  const isFree = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (!(await isFree)) return await freePort();
  server.close();
  await once(server, 'close');
  return port;
}
