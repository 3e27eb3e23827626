/** Where commands write, and what they may know of it. */
import type { Writable } from 'node:stream';
import { isatty } from 'node:tty';

/** The two streams of a command. Results go to `out`; everything else to `err`. */
export interface Terminal {
  readonly out: Writable;
  readonly err: Writable;
  /** True when a person looks at `err`: then long work shows progress bars. */
  readonly isInteractive: boolean;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  return { out: process.stdout, err: process.stderr, isInteractive: isatty(2) };
}

/** Writes a line of a result. */
export function print(terminal: Terminal, line = ''): void {
  terminal.out.write(`${line}\n`);
}

/** Writes a result as JSON. */
export function printJson(terminal: Terminal, value: unknown): void {
  print(terminal, JSON.stringify(value, undefined, 2));
}
