/** `replication`: the other seeds whose images a seed keeps, and how far it is with each. */
import type { Command } from 'commander';
import type { ReplicationReport } from '../admin/reports.ts';
import { showCount, showDuration, showTable } from '../text-forms.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { print, printJson } from './terminal.ts';

/** Adds the commands. */
export function addReplicationCommands(program: Command, context: CommandContext): void {
  const { terminal, facts } = context;
  const replication = addReadFlags(
    program.command('replication').description('the seeds whose images a seed keeps as well, and how far it is'),
  ).action(async (options: ReadOptions) => {
    const reports = await adminClient(options, facts).replication();
    if (options.json === true) printJson(terminal, reports);
    else for (const line of replicationLines(reports, Date.now())) print(terminal, line);
  });
  addReadFlags(
    replication.command('compare').description('compare all that the other seeds have with what this one has'),
  ).action(async (_options: ReadOptions, command: Command) => {
    const options = command.optsWithGlobals<ReadOptions>();
    const outcome = await adminClient(options, facts).compareSeeds();
    if (options.json === true) printJson(terminal, outcome);
    else
      print(
        terminal,
        `comparing with ${showCount(outcome.seeds.length, 'seed')}; \`dockyard replication\` tells how far it is`,
      );
  });
}

/** The other seeds as people read them. */
export function replicationLines(reports: readonly ReplicationReport[], nowMs: number): string[] {
  const rows = reports.map((report) => [
    report.seed,
    stateOf(report),
    String(report.pendingCount),
    report.oldestPendingAtMs === undefined ? '-' : showDuration(nowMs - report.oldestPendingAtMs),
    report.lastAnswerAtMs === undefined ? 'never' : `${showDuration(nowMs - report.lastAnswerAtMs)} ago`,
    report.lastFailure === undefined
      ? ''
      : `${report.lastFailure} (${showDuration(nowMs - (report.lastFailureAtMs ?? nowMs))} ago)`,
  ]);
  return showTable(['seed', 'state', 'waiting', 'oldest', 'last answer', 'last failure'], rows);
}

/** How it goes with one of them, in a few words. */
export function stateOf({ failuresInARow, failingCount, hasCaughtUp }: ReplicationReport): string {
  if (failuresInARow > 0) return 'does not answer';
  if (failingCount > 0) return `${showCount(failingCount, 'change')} failed`;
  return hasCaughtUp ? 'the same' : 'catching up';
}
