/** `verify`: hashes again all that is held, in a running node or in the data folder of a stopped one. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SingleBar } from 'cli-progress';
import type { Command } from 'commander';
import type { VerifyReport } from '../admin/reports.ts';
import { nodeError } from '../errors.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson, type Terminal } from './terminal.ts';
import { showCount, showSize } from '../text-forms.ts';

/** What a verification found. */
interface VerifySummary {
  readonly good: number;
  readonly damaged: readonly string[];
  readonly missing: readonly string[];
  readonly verifiedBytes: number;
}

/** Blobs to verify, and how much they are together. */
interface Verification extends AsyncDisposable {
  readonly totalBytes: number;
  readonly results: AsyncIterable<VerifyReport>;
}

/** Adds the command. */
export function addVerifyCommand(program: Command, context: CommandContext): void {
  addReadFlags(
    program
      .command('verify')
      .description('hash again all that is held; what is wrong is set aside and fetched again when asked for'),
  )
    .option('--data <DIR>', 'the data folder of a node that is not running')
    .action(async (options: ReadOptions & { data?: string }) => {
      await using verification = await beginVerification(options, context);
      const summary = await follow(verification, context.terminal);
      if (options.json === true) printJson(context.terminal, summary);
      else printSummary(summary, context.terminal);
      context.exitWith(summary.damaged.length + summary.missing.length === 0 ? EXIT.ok : EXIT.failed);
    });
}

async function beginVerification(
  options: ReadOptions & { data?: string },
  context: CommandContext,
): Promise<Verification> {
  if (options.data !== undefined && options.admin !== undefined)
    throw nodeError('ERR_USAGE', 'give --data or --admin, not both');
  if (options.data !== undefined) return await verifyStopped(resolve(context.facts.workingDirectory, options.data));
  const client = adminClient(options, context.facts);
  const { store } = await client.status();
  return { totalBytes: store.blobBytes, results: client.verify(), [Symbol.asyncDispose]: () => Promise.resolve() };
}

async function verifyStopped(dataDirectory: string): Promise<Verification> {
  if (!existsSync(join(dataDirectory, 'content')) && !existsSync(join(dataDirectory, 'index'))) {
    const why = existsSync(dataDirectory) ? 'is not the data folder of a node' : 'does not exist';
    throw nodeError('ERR_DATA_ABSENT', `${dataDirectory} ${why}`);
  }
  const { openStoppedStore } = await import('../composition/stopped-store.ts');
  const store = await openStoppedStore(dataDirectory);
  const { blobBytes } = await store.blobs.usage();
  return { totalBytes: blobBytes, results: store.blobs.verify(), [Symbol.asyncDispose]: () => store.close() };
}

async function follow(verification: Verification, terminal: Terminal): Promise<VerifySummary> {
  const found = { good: 0, damaged: [] as string[], missing: [] as string[], verifiedBytes: 0 };
  const bar = terminal.isInteractive
    ? new SingleBar({ stream: terminal.err, format: 'verifying {bar} {percentage} % {done}', hideCursor: true })
    : undefined;
  bar?.start(Math.max(1, verification.totalBytes), 0, { done: '' });
  try {
    for await (const { digest, sizeBytes, state } of verification.results) {
      if (state === 'good') found.good += 1;
      else found[state].push(digest);
      found.verifiedBytes += sizeBytes;
      bar?.update(found.verifiedBytes, { done: showSize(found.verifiedBytes) });
    }
  } finally {
    bar?.stop();
  }
  return found;
}

function printSummary(summary: VerifySummary, terminal: Terminal): void {
  for (const digest of summary.damaged) print(terminal, `damaged  ${digest}`);
  for (const digest of summary.missing) print(terminal, `missing  ${digest}`);
  const wrong = summary.damaged.length + summary.missing.length;
  const verdict =
    wrong === 0 ? 'all good' : `${showCount(wrong, 'blob')} set aside, to be fetched again when asked for`;
  print(
    terminal,
    `${showCount(summary.good + wrong, 'blob')}, ${showSize(summary.verifiedBytes)} verified: ${verdict}`,
  );
}
