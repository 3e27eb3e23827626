/** `dockyard <command>` in this process, as at a terminal that nobody looks at unless told otherwise. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { PassThrough } from 'node:stream';
import { runCommandLine } from '../../node/cli/run.ts';

/** How a command ended. */
export interface CommandOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command with these variables alone. */
export async function dockyard(
  args: readonly string[],
  environment: Record<string, string> = {},
  { isInteractive = false }: { readonly isInteractive?: boolean } = {},
): Promise<CommandOutcome> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  // As far as programs that draw progress bars look.
  if (isInteractive) Object.assign(err, { isTTY: true, columns: 120, rows: 40 });
  const written = [collect(out), collect(err)] as const;
  const facts = {
    environment,
    isRoot: false,
    isTerminal: false,
    homeDirectory: tmpdir(),
    workingDirectory: tmpdir(),
    fileSystemSizeBytes: () => 1024 ** 4,
    fileExists: existsSync,
  };
  const code = await runCommandLine(args, { out, err, isInteractive }, facts);
  out.end();
  err.end();
  return { code, out: await written[0], err: await written[1] };
}

/** The lines of an outcome as JSON. */
export function jsonLines<Line>(text: string): Line[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

async function collect(stream: PassThrough): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
