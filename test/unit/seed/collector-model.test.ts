/** Random pushes, mounts, deletions, pulls and collections, one after the other and all at once, compared with plain rules. */
import { strict as assert } from 'node:assert';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import type { RepositoryName } from '../../../src/oci/name.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { diskStorage, HOUR_MS, memoryStorage, withLab, type CollectionLab, type LabRules } from './collection-lab.ts';
import { BLOBS, itemsOf, MANIFESTS, NAMES, TAGS, type ModelManifest, type SeedState } from './collection-model.ts';

/** What adds and reads, and may run beside a collection. */
type Addition =
  | { readonly kind: 'blob' | 'ask'; readonly name: RepositoryName; readonly blob: number }
  | { readonly kind: 'mount'; readonly name: RepositoryName; readonly from: RepositoryName; readonly blob: number }
  | {
      readonly kind: 'manifest' | 'image';
      readonly name: RepositoryName;
      readonly manifest: ModelManifest;
      readonly tag: string | undefined;
    }
  | { readonly kind: 'pull'; readonly name: RepositoryName; readonly tag: string };

type Step =
  | Addition
  | { readonly kind: 'delete'; readonly name: RepositoryName; readonly reference: string }
  | { readonly kind: 'delete blob'; readonly name: RepositoryName; readonly blob: number }
  | { readonly kind: 'wait'; readonly hours: number }
  | { readonly kind: 'collect' }
  | { readonly kind: 'collect in part'; readonly maxEvents: number }
  | { readonly kind: 'collect among'; readonly additions: readonly Addition[]; readonly seed: number };

const name = fc.constantFrom(...NAMES);
const blob = fc.nat(BLOBS.length - 1);
const manifest = fc.constantFrom(...MANIFESTS);
const tag = fc.constantFrom(...TAGS);
const constant = <const Kind extends string>(kind: Kind): fc.Arbitrary<Kind> => fc.constant(kind);

function additions(tags: fc.Arbitrary<string | undefined>): fc.Arbitrary<Addition> {
  return fc.oneof(
    fc.record({ kind: fc.constantFrom('blob', 'ask'), name, blob }),
    fc.record({ kind: constant('mount'), name, from: name, blob }),
    fc.record({ kind: constant('manifest'), name, manifest, tag: tags }),
    { weight: 3, arbitrary: fc.record({ kind: constant('image'), name, manifest, tag: tags }) },
    fc.record({ kind: constant('pull'), name, tag }),
  );
}

const alone: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: additions(fc.option(tag, { nil: undefined })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: constant('delete'),
      name,
      reference: fc.oneof(
        tag,
        manifest.map(({ digest }) => digest as string),
      ),
    }),
  },
  fc.record({ kind: constant('delete blob'), name, blob }),
  { weight: 3, arbitrary: fc.record({ kind: constant('wait'), hours: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: constant('collect') }) },
  fc.record({ kind: constant('collect in part'), maxEvents: fc.integer({ min: 1, max: 6 }) }),
);

// Moving a tag beside a collection may rightly cost what it pointed to, so those that run beside one set no tag that is there.
const among: fc.Arbitrary<Step> = fc.record({
  kind: constant('collect among'),
  additions: fc.array(additions(fc.constantFrom('now', undefined)), { minLength: 1, maxLength: 8 }),
  seed: fc.nat(),
});

const grace = fc.constantFrom(0, HOUR_MS, 24 * HOUR_MS);
const retention = fc.option(fc.record({ keepNewest: fc.nat(2), keepPushedWithinMs: fc.constantFrom(0, 5 * HOUR_MS) }), {
  nil: undefined,
});

const MAX_DELAY_TURNS = 60;

/** A seed at work, and what it must hold. */
class Run {
  readonly #lab: CollectionLab;
  readonly #pace: { random: () => number };
  #count = 0;

  constructor(lab: CollectionLab, pace: { random: () => number }) {
    this.#lab = lab;
    this.#pace = pace;
  }

  async step(step: Step): Promise<void> {
    const lab = this.#lab;
    if (step.kind === 'wait') lab.clock.atMs += step.hours * HOUR_MS;
    else if (step.kind === 'delete') await lab.deleteManifest(step.name, step.reference);
    else if (step.kind === 'delete blob') await lab.deleteBlob(step.name, step.blob);
    else if (step.kind === 'collect') await this.collect();
    else if (step.kind === 'collect in part') await this.#collectInPart(step.maxEvents);
    else if (step.kind === 'collect among') await this.#collectAmong(step);
    else await this.#add(step);
  }

  /** All that is to go is gone, and nothing else; a dry run said the same before. */
  async collect(): Promise<void> {
    const lab = this.#lab;
    const before = await lab.state();
    const foretold = await lab.collect({ dryRun: true });
    assert.deepEqual(await lab.state(), before);
    const done = await lab.collect();
    assert.deepEqual(await lab.state(), lab.expected(before));
    assert.deepEqual(done, foretold);
  }

  /** Wherever a run ends, nothing that is needed is gone. */
  async #collectInPart(maxEvents: number): Promise<void> {
    const lab = this.#lab;
    const before = await lab.state();
    await lab.collect({ maxEvents });
    const after = await lab.state();
    assertHolds(after, lab.expected(before));
    assertHolds(before, after);
  }

  async #collectAmong({ additions, seed }: Extract<Step, { kind: 'collect among' }>): Promise<void> {
    const lab = this.#lab;
    const before = await lab.state();
    const must = lab.expected(before);
    const random = seededRandom(seed);
    this.#pace.random = random;
    const collecting = lab.collect();
    const outcomes = await Promise.all(
      additions.map(async (addition) => {
        this.#count += 1;
        const ownTag = `now-${this.#count}`;
        // Some begin while repositories are swept, some while bytes are.
        for (let left = Math.floor(random() * MAX_DELAY_TURNS); left > 0; left -= 1) await nextTurn();
        // A tag of its own, which nothing else sets.
        const own = 'tag' in addition && addition.tag === 'now' ? { ...addition, tag: ownTag } : addition;
        return { addition: own, isDone: await this.#add(own) };
      }),
    );
    await collecting;
    this.#pace.random = () => 0;
    const after = await lab.state();
    assertHolds(after, must);
    const added = outcomes.filter(({ isDone }) => isDone).map(({ addition }) => addition);
    // What was attached may be gone before its subject came back; all that the additions themselves need is there.
    assertHolds(after, lab.expected(withAdditions(before, added, lab.clock.nowMs()), false));
  }

  async #add(step: Addition): Promise<boolean> {
    const lab = this.#lab;
    switch (step.kind) {
      case 'blob':
        return await lab.pushBlob(step.name, step.blob);
      case 'ask':
        return await lab.isThere(step.name, step.blob);
      case 'mount':
        return await lab.mount(step.name, step.from, step.blob);
      case 'manifest':
        return await lab.putManifest(step.name, step.manifest, step.tag);
      case 'image':
        return await lab.pushImage(step.name, step.manifest, step.tag);
      case 'pull':
        return await lab.pull(step.name, step.tag);
    }
  }
}

/** A state after additions that were acknowledged, were nothing removed. */
function withAdditions(state: SeedState, added: readonly Addition[], nowMs: number): SeedState {
  const next = structuredClone(state) as {
    repositories: Record<string, { links: Record<string, number>; manifests: Record<string, number>; tags: object }>;
    stored: Record<string, number>;
  };
  for (const step of added) {
    if (step.kind === 'pull' || step.kind === 'ask') continue;
    const repository = (next.repositories[step.name] ??= { links: {}, manifests: {}, tags: {} });
    for (const blob of 'manifest' in step ? step.manifest.blobs : [step.blob]) {
      const digest = digestOf(BLOBS[blob] ?? Buffer.alloc(0));
      [repository.links[digest], next.stored[digest]] = [nowMs, nowMs];
    }
    if (!('manifest' in step)) continue;
    repository.manifests[step.manifest.digest] = nowMs;
    if (step.tag === undefined) continue;
    repository.tags = { ...repository.tags, [step.tag]: { digest: step.manifest.digest, updatedAtMs: nowMs } };
  }
  return next as SeedState;
}

function assertHolds(state: SeedState, part: SeedState): void {
  const items = itemsOf(state);
  assert.deepEqual(
    [...itemsOf(part)].filter((item) => !items.has(item)),
    [],
  );
}

async function runSteps(openStorage: typeof memoryStorage, rules: LabRules, steps: readonly Step[]): Promise<void> {
  const pace = { random: () => 0 };
  const turns = (): number => Math.floor(pace.random() * 4);
  await withLab(openStorage, rules, turns, async (lab) => {
    const run = new Run(lab, pace);
    for (const step of steps) await run.step(step);
    lab.clock.atMs += 100 * HOUR_MS;
    await run.collect();
  });
}

const places = [
  { place: 'memory', openStorage: memoryStorage, numRuns: 150 },
  { place: 'disk', openStorage: diskStorage, numRuns: 12 },
] as const;

test.each(places)(
  'one after the other, collections leave exactly what the rules say: $place',
  { timeout: 120_000 },
  async ({ openStorage, numRuns }) => {
    const rules = fc.record({ graceMs: grace, untagged: fc.boolean(), retention });
    const steps = fc.array(alone, { minLength: 20, maxLength: 60, size: 'max' });
    const property = fc.asyncProperty(rules, steps, async (...given) => await runSteps(openStorage, ...given));
    await fc.assert(property, { numRuns, seed: 20_261_121, endOnFailure: true });
  },
);

test.each(places)(
  'beside pushes, mounts and pulls, a collection takes nothing that they use: $place',
  { timeout: 120_000 },
  async ({ openStorage, numRuns }) => {
    const rules = fc.record({ graceMs: grace, untagged: fc.boolean(), retention: fc.constant(undefined) });
    const step = fc.oneof({ weight: 2, arbitrary: alone }, { weight: 1, arbitrary: among });
    const steps = fc.array(step, { minLength: 20, maxLength: 60, size: 'max' });
    const property = fc.asyncProperty(rules, steps, async (...given) => await runSteps(openStorage, ...given));
    await fc.assert(property, { numRuns, seed: 20_261_122, endOnFailure: true });
  },
);
