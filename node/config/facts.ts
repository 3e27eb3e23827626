/** The facts of this process and machine that defaults depend on. */
import { existsSync, statfsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { isatty } from 'node:tty';
import type { ProcessFacts } from './option.ts';

/** Reads the facts from the process; the one place where configuration touches it. */
export function processFacts(): ProcessFacts {
  return {
    environment: process.env,
    isRoot: process.getuid?.() === 0,
    isTerminal: isatty(2),
    homeDirectory: homedir(),
    workingDirectory: process.cwd(),
    fileSystemSizeBytes,
    fileExists: existsSync,
  };
}

function fileSystemSizeBytes(path: string): number {
  let existing = path;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  const { blocks, bsize } = statfsSync(existing);
  return blocks * bsize;
}
