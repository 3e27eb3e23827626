/** `webhooks`: who is told of pushes and deletes, what waits for them, and what was given up. */
import type { Command } from 'commander';
import type { DeadLetterReport, WebhookReport } from '../admin/reports.ts';
import { showCount, showTable } from '../text-forms.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { print, printJson } from './terminal.ts';

/** Adds the commands. */
export function addWebhookCommands(program: Command, context: CommandContext): void {
  const { terminal, facts } = context;
  const webhooks = addReadFlags(
    program.command('webhooks').description('the webhook endpoints of a seed, and how deliveries go'),
  ).action(async (options: ReadOptions) => {
    const reports = await adminClient(options, facts).webhooks();
    if (options.json === true) printJson(terminal, reports);
    else for (const line of webhookLines(reports)) print(terminal, line);
  });
  addReadFlags(webhooks.command('dead').description('events that were given up, oldest first')).action(
    async (_options: ReadOptions, command: Command) => {
      const options = command.optsWithGlobals<ReadOptions>();
      const letters: DeadLetterReport[] = [];
      for await (const letter of adminClient(options, facts).deadLetters()) letters.push(letter);
      if (options.json === true) printJson(terminal, letters);
      else for (const line of deadLetterLines(letters)) print(terminal, line);
    },
  );
  addReadFlags(
    webhooks.command('retry').description('deliver once more what was given up').argument('<NAME>', 'the endpoint'),
  ).action(async (name: string, _options: ReadOptions, command: Command) => {
    const options = command.optsWithGlobals<ReadOptions>();
    const outcome = await adminClient(options, facts).retryWebhook(name);
    if (options.json === true) printJson(terminal, outcome);
    else print(terminal, `${showCount(outcome.retried, 'event')} to be delivered again`);
  });
}

/** The endpoints as people read them. */
export function webhookLines(reports: readonly WebhookReport[]): string[] {
  const rows = reports.map((report) => [
    report.name,
    stateOf(report),
    String(report.pendingCount),
    String(report.deadLetterCount),
    showTime(report.lastDeliveryAtMs),
    report.url,
    report.lastFailure === undefined ? '' : `${report.lastFailure} (${showTime(report.lastFailureAtMs)})`,
  ]);
  return showTable(['endpoint', 'state', 'waiting', 'dead', 'last delivery (UTC)', 'url', 'last failure'], rows);
}

function stateOf({ disabled, failuresInARow }: WebhookReport): string {
  if (disabled) return 'disabled';
  return failuresInARow === 0 ? 'ok' : `failed ${failuresInARow}×`;
}

/** Dead letters as people read them. */
export function deadLetterLines(letters: readonly DeadLetterReport[]): string[] {
  const rows = letters.map(({ endpoint, event, givenUpAtMs, reason }) => {
    const { repository = '', tag, digest = '' } = event.target ?? {};
    const what = tag === undefined ? `${repository}@${digest}` : `${repository}:${tag}`;
    return [endpoint, showTime(givenUpAtMs), event.action ?? '', what, event.id ?? '', reason];
  });
  return showTable(['endpoint', 'given up (UTC)', 'action', 'what', 'id', 'reason'], rows);
}

function showTime(atMs: number | undefined): string {
  return atMs === undefined ? '-' : new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');
}
