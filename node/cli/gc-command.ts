/** `gc`: collects the garbage of a running seed, or says what it would remove. */
import type { Command } from 'commander';
import { addEvent, NOTHING_REMOVED, type CollectionTotals } from '../../src/seed/removal.ts';
import type { CollectionReport } from '../admin/reports.ts';
import { showCount, showDigest, showSize } from '../text-forms.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { print } from './terminal.ts';

/** Adds the command. */
export function addGcCommand(program: Command, context: CommandContext): void {
  addReadFlags(
    program
      .command('gc')
      .description('remove from a running seed what nobody needs: by its rules for tags, and bytes no image needs'),
  )
    .option('--dry-run', 'say what would be removed, and remove nothing')
    .action(async (options: ReadOptions & { dryRun?: boolean }) => {
      const { terminal } = context;
      const dryRun = options.dryRun === true;
      let totals = NOTHING_REMOVED;
      // One to a line as it comes: there may be a hundred thousand.
      for await (const event of adminClient(options, context.facts).collect({ dryRun })) {
        totals = addEvent(totals, event);
        if (options.json === true) terminal.out.write(`${JSON.stringify(event)}\n`);
        else print(terminal, lineOf(event));
      }
      if (options.json === true) terminal.out.write(`${JSON.stringify({ kind: 'total', dryRun, ...totals })}\n`);
      else print(terminal, summaryOf(totals, dryRun));
    });
}

function lineOf(event: CollectionReport): string {
  switch (event.kind) {
    case 'tag':
      return `tag       ${event.repository}:${event.tag}  ${showDigest(event.digest)}`;
    case 'manifest':
      return `manifest  ${event.repository}@${event.digest}  ${showSize(event.sizeBytes)}`;
    case 'link':
      return `link      ${event.repository}@${event.digest}`;
    case 'blob':
      return `blob      ${event.digest}  ${showSize(event.sizeBytes)}`;
    case 'postponed':
      return `postponed ${event.repository}: too much is being pushed there just now`;
  }
}

function summaryOf({ tags, manifests, links, blobs, freedBytes }: CollectionTotals, dryRun: boolean): string {
  const counts = [
    showCount(tags, 'tag'),
    showCount(manifests, 'manifest'),
    showCount(links, 'link'),
    showCount(blobs, 'blob'),
  ];
  const verb = dryRun ? 'would be removed' : 'removed';
  return `${counts.join(', ')} ${verb}: ${showSize(freedBytes)} ${dryRun ? 'would be freed' : 'freed'}`;
}
