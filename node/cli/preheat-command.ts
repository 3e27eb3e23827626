/** `preheat`: has nodes fetch an image before it is needed. */
import type { Command } from 'commander';
import type { PreheatNodeReport, PreheatPlanReport, PreheatReport } from '../admin/reports.ts';
import { showCount, showDigest, showSize } from '../text-forms.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { ProgressBars } from './progress-bars.ts';
import { print, type Terminal } from './terminal.ts';

interface PreheatOptions extends ReadOptions {
  readonly nodes?: string[];
  readonly platform?: string[];
}

/** Adds the command. */
export function addPreheatCommand(program: Command, context: CommandContext): void {
  addReadFlags(
    program
      .command('preheat')
      .description('have nodes fetch an image before it is needed, mostly from each other')
      .argument('<IMAGE>', 'as a client of this node names it: seed.lan/team/app:v1'),
  )
    .option('--nodes <NODE...>', 'addresses, ids or places of nodes, as `dockyard peers` shows them (default: all)')
    .option('--platform <OS/ARCH...>', 'these platforms of the image alone (default: all)')
    .action(async (image: string, options: PreheatOptions) => {
      const { terminal, facts } = context;
      const { nodes = [], platform: platforms = [] } = options;
      using show = new PreheatShow(terminal, options.json === true);
      for await (const report of adminClient(options, facts).preheat({ image, nodes, platforms })) show.tell(report);
      const { failed } = show.end();
      context.exitWith(failed === 0 ? EXIT.ok : EXIT.failed);
    });
}

/** JSON lines for programs, a bar for each node for people who look, and for others a line when a node is done. */
class PreheatShow implements Disposable {
  readonly #terminal: Terminal;
  readonly #isJson: boolean;
  readonly #bars: ProgressBars | undefined;
  readonly #outcome = { done: 0, failed: 0 };
  /** What is told of nodes when the bars are gone. */
  readonly #ended: string[] = [];
  #plan: PreheatPlanReport | undefined;

  constructor(terminal: Terminal, isJson: boolean) {
    this.#terminal = terminal;
    this.#isJson = isJson;
    this.#bars = isJson ? undefined : ProgressBars.open(terminal, '{node} {bar} {percentage} % {done}');
  }

  tell(report: PreheatReport): void {
    if (report.kind === 'node' && report.state !== 'running') this.#outcome[report.state] += 1;
    if (this.#isJson) print(this.#terminal, JSON.stringify(report));
    else if (report.kind === 'plan') this.#begin(report);
    else this.#node(report);
  }

  /** Says what it came to. */
  end(): { readonly done: number; readonly failed: number } {
    this[Symbol.dispose]();
    const { done, failed } = this.#outcome;
    if (this.#isJson) print(this.#terminal, JSON.stringify({ kind: 'total', done, failed }));
    else print(this.#terminal, `${showCount(done, 'node')} ready${failed === 0 ? '' : `, ${failed} failed`}`);
    return this.#outcome;
  }

  [Symbol.dispose](): void {
    this.#bars?.[Symbol.dispose]();
    for (const line of this.#ended.splice(0)) print(this.#terminal, line);
  }

  #begin(plan: PreheatPlanReport): void {
    this.#plan = plan;
    const { digest, blobCount, sizeBytes, nodeCount } = plan;
    const what = `${showDigest(digest)}, ${showCount(blobCount, 'blob')}, ${showSize(sizeBytes)}`;
    print(this.#terminal, `${what}, to ${showCount(nodeCount, 'node')}`);
  }

  #node(report: PreheatNodeReport): void {
    const { peerId, address, state, heldBytes, heldBlobs, message, code } = report;
    const name = address === '' ? peerId : address;
    if (state === 'running') {
      const texts = { node: name, done: showSize(heldBytes) };
      this.#bars?.show(peerId, { done: heldBytes, total: this.#plan?.sizeBytes ?? 1, texts });
      return;
    }
    this.#bars?.remove(peerId);
    const held = `${showCount(heldBlobs, 'blob')}, ${showSize(heldBytes)}`;
    const why = state === 'failed' ? `: ${message ?? 'it did not say why'} (${code ?? 'unknown'})` : '';
    const line = `${state === 'done' ? 'ready ' : 'failed'}  ${name}  ${held}${why}`;
    if (this.#bars === undefined) print(this.#terminal, line);
    else this.#ended.push(line);
  }
}
