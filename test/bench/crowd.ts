/**
 * Many hosts that want one blob: cold (`flash-crowd`), with one holder and no origin (`warm`), and without a swarm
 * (`direct`, the baseline). Each host has a network namespace of its own, behind a link that is shaped both ways.
 */
import { NetworkLab } from '../support/network-lab.ts';
import type { Bench, BenchResult } from './bench.ts';
import { runCrowd, type CrowdResult } from './crowd-run.ts';
import type { Flags } from './flags.ts';
import { spreadOf } from './spread.ts';

const MEBIBYTE = 1024 * 1024;

const FLAGS = {
  nodes: 'hosts (8)',
  mbit: 'rate of every link in Mbit/s (200)',
  blob: 'size of the blob (256MiB)',
  rounds: 'runs (1)',
};

interface Limits {
  readonly timeRatio: number;
  readonly originRatio?: number;
}

function crowdBench(mode: CrowdResult['options']['mode'], summary: string, limits: Limits): Bench {
  return {
    name: mode,
    summary,
    flags: FLAGS,
    run: async (flags, log) => await measure(mode, limits, flags, log),
  };
}

async function measure(
  mode: CrowdResult['options']['mode'],
  limits: Limits,
  flags: Flags,
  log: (line: string) => void,
): Promise<BenchResult> {
  if (!(await NetworkLab.isAvailable())) {
    return { figures: [], skipped: [`${mode}: needs root, ip and tc, to make network namespaces`], details: [] };
  }
  const options = {
    mode,
    nodes: flags.count('nodes', 8),
    rateBits: flags.count('mbit', 200) * 1_000_000,
    blobBytes: flags.sizeBytes('blob', 256 * MEBIBYTE),
  };
  const results: CrowdResult[] = [];
  for (let round = flags.count('rounds', 1); round > 0; round -= 1) results.push(await runCrowd(options, log));
  const figure = (what: string, value: number, unit: string, of: (result: CrowdResult) => number) => ({
    what: `${mode}, ${options.nodes} hosts: ${what}`,
    bound: { direction: 'at most' as const, value, unit },
    spread: spreadOf(results.map(of)),
  });
  const figures = [figure('last done ÷ (size ÷ rate)', limits.timeRatio, '×', (result) => result.timeRatio)];
  if (limits.originRatio !== undefined) {
    figures.push(figure('bytes from the origin ÷ size', limits.originRatio, '×', (result) => result.originRatio));
  }
  return { figures, skipped: [], details: results };
}

export const flashCrowd: Bench = crowdBench('flash-crowd', 'all hosts want a blob that nobody has, at once', {
  timeRatio: 1.15,
  originRatio: 1.05,
});

export const warm: Bench = crowdBench('warm', 'one host holds the blob, the origin is gone, the others want it', {
  timeRatio: 1.2,
});

export const direct: Bench = crowdBench('direct', 'the same without a swarm: everyone straight from the origin', {
  timeRatio: 10,
});
