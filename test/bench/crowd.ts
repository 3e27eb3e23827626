/**
 * Many hosts that want the same at once, each with a network namespace of its own behind a link that is shaped both ways:
 * what a swarm is for. One benchmark for each situation; `direct` is the baseline without a swarm.
 */
import { NetworkLab } from '../support/network-lab.ts';
import { isInstalled } from '../support/programs.ts';
import type { Bench, BenchResult, Figure, Target } from './bench.ts';
import { drawCompletion } from './completion-plot.ts';
import { runCrowd, type CrowdPlan } from './crowd-run.ts';
import type { CrowdResult } from './crowd-result.ts';
import { simulatedLastDone } from './crowd-simulation.ts';
import type { Flags } from './flags.ts';
import { spreadOf } from './spread.ts';

const MEBIBYTE = 1024 ** 2;
const DEFAULT_RATE_BITS = 200_000_000;
const IMAGE_LAYERS = 4;
const SMALL_LAYERS = 8;

/** What is measured of one round: the run, and for `kill-home` the same without the fault before. */
interface Round {
  readonly run: CrowdResult;
  readonly calm: CrowdResult | undefined;
  /** When the last would be done, over size ÷ rate, if there were no processors. */
  readonly simulatedLast: number | undefined;
}

interface Measure {
  readonly target: Target;
  readonly of: (round: Round) => number;
}

interface CrowdKind {
  readonly name: string;
  readonly summary: string;
  readonly flags?: Readonly<Record<string, string>>;
  readonly measures: readonly Measure[];
  readonly plan: (flags: Flags, common: CrowdPlan) => CrowdPlan;
  /** Each round is run without the fault too. */
  readonly isCompared?: boolean;
  readonly needs?: readonly string[];
}

const NET_FLAGS = {
  nodes: 'hosts (8)',
  rate: 'rate of every link, each way (200mbit)',
  rounds: 'runs (1)',
  profile: 'folder for CPU profiles of the nodes',
  'warm-up': 'size of another blob that all nodes pull before, or `none` for fresh processes (256MiB)',
};
const BLOB_FLAGS = { blob: 'size of the blob (256MiB)' };

const atMost = (what: string, value: number, unit: string, of: Measure['of']): Measure => ({
  target: { what, bound: { direction: 'at most', value, unit } },
  of,
});
const lastDone = (value: number): Measure =>
  atMost('last done ÷ (size ÷ rate)', value, '×', ({ run }) => run.lastSeconds / run.boundSeconds);
const fromOrigin = (value: number): Measure =>
  atMost('bytes from the origin ÷ size', value, '×', ({ run }) => run.originRatio);
/** How far the simulation may be believed. */
const asSimulated = atMost(
  'last done ÷ what the simulation says',
  1.15,
  '×',
  ({ run, simulatedLast = NaN }) => run.lastSeconds / run.boundSeconds / simulatedLast,
);
const processorTime = atMost('processor seconds of nodes per GB relayed', 3.5, ' s', ({ run }) => run.cpuSecondsPerGB);

const KINDS: readonly CrowdKind[] = [
  {
    name: 'flash-crowd',
    summary: 'all hosts want a blob that nobody has, at once',
    measures: [lastDone(1.15), fromOrigin(1.05), processorTime, asSimulated],
    plan: (_flags, common) => common,
  },
  {
    name: 'rolling',
    summary: 'a fifth of the hosts at a time begins to pull a blob that nobody has',
    flags: { every: 'seconds between the fifths (a quarter of size ÷ rate)' },
    measures: [
      atMost(
        'slowest, from its own begin ÷ (size ÷ rate)',
        1.25,
        '×',
        ({ run }) => run.slowestSeconds / run.boundSeconds,
      ),
      fromOrigin(1.05),
    ],
    plan: (flags, common) => {
      const quarter = (sizeOf(common) * 8) / common.rateBits / 4;
      return { ...common, waves: { share: 0.2, everySeconds: flags.seconds('every', quarter) } };
    },
  },
  {
    name: 'crowd-image',
    summary: `skopeo on every host copies an image of ${IMAGE_LAYERS} large and ${SMALL_LAYERS} small layers that nobody has`,
    flags: { layer: 'size of each large layer (64MiB)', 'small-layer': 'size of each small layer (32KiB)' },
    measures: [lastDone(1.25), fromOrigin(1.05)],
    plan: (flags, common) => ({ ...common, content: { kind: 'image', layersBytes: layersOf(flags) } }),
    needs: ['skopeo'],
  },
  {
    name: 'capped',
    summary: 'as flash-crowd, from an origin that gives each connection a quarter of the link',
    measures: [lastDone(1.4), fromOrigin(1.1), asSimulated],
    plan: (_flags, common) => ({ ...common, connectionShare: 1 / 4 }),
  },
  {
    name: 'kill-home',
    summary: 'as flash-crowd, and the home gets SIGKILL when half has come over the links',
    measures: [
      atMost('time that the fault adds', 3, ' s', ({ run, calm }) => run.lastSeconds - (calm?.lastSeconds ?? NaN)),
      fromOrigin(1.3),
    ],
    plan: (_flags, common) => ({ ...common, fault: 'kill-home' }),
    isCompared: true,
  },
  {
    name: 'stop-holder',
    summary: 'as flash-crowd, and the holder that gave most gets SIGSTOP when half has come over the links',
    measures: [atMost('longest silence at any client', 3, ' s', ({ run }) => run.longestSilenceSeconds)],
    plan: (_flags, common) => ({ ...common, fault: 'stop-holder' }),
  },
  {
    name: 'warm',
    summary: 'one host holds the blob, the origin is gone, the others want it',
    measures: [lastDone(1.2)],
    plan: (_flags, common) => ({ ...common, setting: 'warm' }),
  },
  {
    name: 'direct',
    summary: 'the same without a swarm: everyone straight from the origin',
    measures: [lastDone(10)],
    plan: (_flags, common) => ({ ...common, setting: 'direct' }),
  },
];

/** All benchmarks of crowds. */
export const CROWDS: readonly Bench[] = KINDS.map((kind) => ({
  name: kind.name,
  summary: kind.summary,
  flags: { ...NET_FLAGS, ...(kind.name === 'crowd-image' ? {} : BLOB_FLAGS), ...kind.flags },
  targets: kind.measures.map(({ target }) => target),
  run: async (flags, log) => await measureKind(kind, flags, log),
}));

function sizeOf({ content }: CrowdPlan): number {
  return content.kind === 'blob' ? content.sizeBytes : content.layersBytes.reduce((sum, size) => sum + size, 0);
}

function layersOf(flags: Flags): number[] {
  return [
    ...Array.from({ length: IMAGE_LAYERS }, () => flags.sizeBytes('layer', 64 * MEBIBYTE)),
    ...Array.from({ length: SMALL_LAYERS }, () => flags.sizeBytes('small-layer', 32 * 1024)),
  ];
}

async function measureKind(kind: CrowdKind, flags: Flags, log: (line: string) => void): Promise<BenchResult> {
  const unmet = await unmetNeed(kind);
  if (unmet !== undefined) return { figures: [], skipped: [`${kind.name}: ${unmet}`], details: [] };
  const plan = kind.plan(flags, {
    nodes: flags.count('nodes', 8),
    rateBits: flags.rateBits('rate', DEFAULT_RATE_BITS),
    content: { kind: 'blob', sizeBytes: flags.sizeBytes('blob', 256 * MEBIBYTE) },
    setting: 'cold',
    profileFolder: flags.text('profile'),
    warmUpBytes: flags.text('warm-up') === 'none' ? 0 : flags.sizeBytes('warm-up', 256 * MEBIBYTE),
  });
  const rounds: Round[] = [];
  const simulatedLast = kind.measures.includes(asSimulated) ? simulatedLastDone(plan) : undefined;
  if (simulatedLast !== undefined) log(`  simulated: last done ${simulatedLast.toFixed(2)} × size ÷ rate`);
  for (let round = flags.count('rounds', 1); round > 0; round -= 1) {
    const calm = kind.isCompared === true ? await runCrowd({ ...plan, fault: undefined }, log) : undefined;
    rounds.push({ calm, run: await runCrowd(plan, log), simulatedLast });
  }
  const figures: Figure[] = kind.measures.map(({ target, of }) => ({
    what: `${kind.name}, ${plan.nodes} hosts: ${target.what}`,
    bound: target.bound,
    spread: spreadOf(rounds.map(of)),
  }));
  return { figures, skipped: [], details: { plan, rounds }, plots: plotsOf(kind, plan, rounds) };
}

async function unmetNeed({ needs = [] }: CrowdKind): Promise<string | undefined> {
  if (!(await NetworkLab.isAvailable())) return 'needs root, ip and tc, to make network namespaces';
  const missing = ['docker-registry', 'curl', ...needs].filter((program) => !isInstalled(program));
  return missing.length === 0 ? undefined : `not installed: apt-get install ${missing.join(' ')}`;
}

/** The last round, and its like without the fault. */
function plotsOf({ name }: CrowdKind, plan: CrowdPlan, rounds: readonly Round[]): Record<string, string> {
  const last = rounds.at(-1);
  const about = `${plan.nodes} hosts, ${(plan.rateBits / 1e6).toFixed(0)} Mbit/s`;
  const draw = (run: CrowdResult, what: string): string =>
    drawCompletion({
      title: `${what}: ${about}, last done at ${run.lastSeconds.toFixed(1)} s`,
      sizeBytes: run.sizeBytes,
      boundSeconds: run.boundSeconds,
      series: run.nodes
        .filter(({ points }) => points.length > 0)
        .map((node) => ({ name: node.name, points: node.points, isVictim: node.name === run.struck?.victim })),
      marks:
        run.struck === undefined
          ? []
          : [{ seconds: run.struck.seconds, text: `${run.struck.fault} (${run.struck.victim})` }],
    });
  return {
    ...(last === undefined ? {} : { '': draw(last.run, name) }),
    ...(last?.calm === undefined ? {} : { calm: draw(last.calm, `${name}, before the fault`) }),
  };
}
