/** `copy`: images from one repository to another, maybe of another registry. */
import { InvalidArgumentError, type Command } from 'commander';
import { ImageCopy, type CopyEvent } from '../../src/images/image-copy.ts';
import { listTags } from '../../src/images/registry-lists.ts';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import type { Tag } from '../../src/oci/name.ts';
import { systemClock } from '../../src/origin/clock.ts';
import { nodeError } from '../errors.ts';
import { showCount, showDigest, showSize } from '../text-forms.ts';
import type { CommandContext } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { ProgressBars } from './progress-bars.ts';
import {
  addRegistryFlags,
  openRegistries,
  referenceOf,
  RegistryNames,
  type NamedImage,
  type RegistryOptions,
} from './registry-access.ts';
import { print, type Terminal } from './terminal.ts';

interface CopyOptions extends RegistryOptions {
  readonly allTags?: boolean;
  readonly jobs: number;
}

const DEFAULT_JOBS = 4;
const MAX_JOBS = 64;
/** Between two lines on one blob, where no person looks. */
const PROGRESS_EVERY_MS = 1000;

/** Adds the command. */
export function addCopyCommand(program: Command, context: CommandContext): void {
  addRegistryFlags(
    program
      .command('copy')
      .description('copy an image with all of its platforms; what the target has is not sent again')
      .argument('<FROM>', 'the image')
      .argument('<TO>', 'the repository, and the tag where it is to have another'),
  )
    .option('--all-tags', 'every tag of the repository')
    .option('--jobs <N>', 'blobs that are copied at once', readJobs, DEFAULT_JOBS)
    .action(async (from: string, to: string, options: CopyOptions) => await copy(from, to, options, context));
}

function readJobs(text: string): number {
  const jobs = Number(text);
  if (/^\d{1,3}$/.test(text) && jobs >= 1 && jobs <= MAX_JOBS) return jobs;
  throw new InvalidArgumentError(`allowed: a whole number from 1 to ${MAX_JOBS}`);
}

async function copy(fromText: string, toText: string, options: CopyOptions, context: CommandContext): Promise<void> {
  const { terminal, facts } = context;
  const names = new RegistryNames(options, facts);
  const [from, to] = [names.image(fromText), names.image(toText)];
  refuseWrongPair(from, to, options.allTags === true);
  await using origin = await openRegistries([from.registry, to.registry], options, facts);
  const totals = { sentBytes: 0, failed: 0, counts: new Map<string, number>() };
  using report = new CopyReport(terminal, options.json === true);
  const onEvent = (event: CopyEvent): void => {
    report.tell(event);
    if (event.kind === 'progress') return;
    const key = `${event.kind} ${event.outcome}`;
    totals.counts.set(key, (totals.counts.get(key) ?? 0) + 1);
    if (event.outcome === 'sent') totals.sentBytes += event.sizeBytes;
  };
  const deps = { origin, clock: systemClock, random: Math.random, onEvent };
  const images = new ImageCopy(deps, { from: from.repository, to: to.repository }, options);
  if (options.allTags === true) {
    for await (const tag of listTags(origin, from.repository)) {
      try {
        await images.run({ kind: 'tag', tag }, tag);
      } catch (error) {
        if (!isOfOneImage(error)) throw error;
        totals.failed += 1;
        report.failed(tag, error);
      }
    }
  } else {
    const reference = referenceOf(from);
    await images.run(reference, to.tag ?? (reference.kind === 'tag' ? reference.tag : undefined));
  }
  report.end(totals);
  context.exitWith(totals.failed === 0 ? EXIT.ok : EXIT.failed);
}

function refuseWrongPair(from: NamedImage, to: NamedImage, allTags: boolean): void {
  const refuse = (message: string): never => {
    throw nodeError('ERR_USAGE', message);
  };
  if (to.digest !== undefined) refuse(`'${to.text}': an image keeps its digest; name the repository, or a tag`);
  if (!allTags) return;
  for (const { tag, digest, text } of [from, to]) {
    if (tag !== undefined || digest !== undefined) refuse(`--all-tags: '${text}' names one image; name the repository`);
  }
}

/** True for what says nothing of the other images of the repository. */
function isOfOneImage(error: unknown): boolean {
  return ['ERR_IMAGE_UNKNOWN', 'ERR_COPY_INCOMPLETE', 'ERR_REGISTRY_REFUSED', 'ERR_MANIFEST_INVALID'].some((code) =>
    isDockyardError(error, code),
  );
}

/** Tells how a copy goes on: JSON lines for programs, bars for people who look, lines for others. */
class CopyReport implements Disposable {
  readonly #terminal: Terminal;
  readonly #isJson: boolean;
  readonly #bars: ProgressBars | undefined;
  readonly #toldAtMs = new Map<string, number>();
  /** What is told when the bars are gone. */
  readonly #failures: string[] = [];

  constructor(terminal: Terminal, isJson: boolean) {
    this.#terminal = terminal;
    this.#isJson = isJson;
    this.#bars = isJson ? undefined : ProgressBars.open(terminal, '{blob} {bar} {percentage} % {done}');
  }

  tell(event: CopyEvent): void {
    if (event.kind === 'progress') {
      this.#progress(event);
      return;
    }
    this.#close(event.digest);
    if (this.#isJson) this.#line(event);
    else if (event.kind === 'blob')
      this.#print(`${WORDS[event.outcome]}  ${showDigest(event.digest)}  ${showSize(event.sizeBytes)}`);
    else {
      const tag = event.tag === undefined ? '' : `  ${event.tag}`;
      this.#print(`${WORDS[event.outcome]}  ${showDigest(event.digest)}  manifest${tag}`);
    }
  }

  failed(tag: Tag, error: unknown): void {
    const { message } = asError(error);
    const code = isDockyardError(error) ? error.code : undefined;
    if (this.#isJson) this.#line({ kind: 'failed', tag, code, message });
    else {
      this.#failures.push(`dockyard: ${tag}: ${message} (${code})\n`);
      if (this.#bars === undefined) this.#tellFailures();
    }
  }

  end({ sentBytes, failed, counts }: { sentBytes: number; failed: number; counts: ReadonlyMap<string, number> }): void {
    this[Symbol.dispose]();
    const count = (key: string): number => counts.get(key) ?? 0;
    const [sent, mounted, there] = [count('blob sent'), count('blob mounted'), count('blob there')];
    if (this.#isJson) {
      const manifests = count('manifest sent');
      this.#line({ kind: 'total', blobs: { sent, mounted, there }, manifests, sentBytes, failed });
      return;
    }
    const images = showCount(count('manifest sent'), 'manifest');
    const failures = failed === 0 ? '' : `; ${showCount(failed, 'tag')} failed`;
    const line = `${showCount(sent, 'blob')} and ${images} sent, ${showSize(sentBytes)}; ${there} there, ${mounted} mounted${failures}`;
    print(this.#terminal, line);
  }

  [Symbol.dispose](): void {
    this.#bars?.[Symbol.dispose]();
    this.#tellFailures();
  }

  #tellFailures(): void {
    for (const line of this.#failures.splice(0)) this.#terminal.err.write(line);
  }

  #progress({ digest, sentBytes, sizeBytes }: Extract<CopyEvent, { kind: 'progress' }>): void {
    if (this.#bars !== undefined) {
      const texts = { blob: showDigest(digest), done: `${showSize(sentBytes)} of ${showSize(sizeBytes)}` };
      this.#bars.show(digest, { done: sentBytes, total: sizeBytes, texts });
      return;
    }
    if (!this.#isJson) return;
    const nowMs = performance.now();
    const toldAtMs = this.#toldAtMs.get(digest);
    // The first is told a while after the beginning: most blobs are done by then.
    if (toldAtMs === undefined) this.#toldAtMs.set(digest, nowMs);
    if (toldAtMs === undefined || nowMs - toldAtMs < PROGRESS_EVERY_MS) return;
    this.#toldAtMs.set(digest, nowMs);
    this.#line({ kind: 'progress', digest, sentBytes, sizeBytes });
  }

  #close(digest: string): void {
    this.#toldAtMs.delete(digest);
    this.#bars?.remove(digest);
  }

  #line(value: object): void {
    print(this.#terminal, JSON.stringify(value));
  }

  /** Where bars show how it goes, lines would only push them about. */
  #print(line: string): void {
    if (this.#bars === undefined) print(this.#terminal, line);
  }
}

const WORDS = { there: 'there  ', mounted: 'mounted', sent: 'copied ', foreign: 'foreign' } as const;
