/** What a person reads of a run: the figures, and the curve drawn with letters. */
import type { CurvePoint, SimulationFigures } from './figures.ts';
import type { Progress } from './simulation.ts';

const WIDTH = 72;
const HEIGHT = 14;

/** What every good run shows with equal links. */
export const GOALS = { p99: 1.2, originRatio: 1.1 } as const;

/** The figures as lines of text. */
export function formatFigures(figures: SimulationFigures): string {
  const { completion, scenario, boundMs } = figures;
  const times = (value: number): string => `${value.toFixed(3)}×`;
  const rows: [string, string][] = [
    ['bound (size ÷ rate)', `${(boundMs / 1000).toFixed(2)} s`],
    ['p50 done ÷ bound', times(completion.p50)],
    ['p99 done ÷ bound', `${times(completion.p99)}   (goal ≤ ${GOALS.p99})`],
    ['last done ÷ bound', times(completion.max)],
    ['from the origin ÷ size', `${times(figures.originRatio)}   (goal ≤ ${GOALS.originRatio})`],
    ['requests to the origin', String(figures.originRequests)],
    ['came in vain', `${(figures.wastedShare * 100).toFixed(2)} % of what peers sent`],
    ['small messages', `${figures.messagesPerNode.toFixed(0)} a node`],
    ['longest silence at a node', `${figures.longestSilenceMs.toFixed(0)} ms`],
    ['served', `${figures.servedCount} nodes, ${figures.unservedCount} not`],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(28)}${value}`);
  const { pieceSizeBytes, realPieceSizeBytes } = figures;
  if (pieceSizeBytes !== realPieceSizeBytes) {
    const note = scenario.pieceSizeBytes === 0 ? ' to fit time and memory; what pieces wait at a hop is longer so' : '';
    lines.push(`pieces are ${kib(pieceSizeBytes)} instead of the ${kib(realPieceSizeBytes)} of nodes${note}`);
  }
  return lines.join('\n');
}

/** How far a run has come after so much real time, as one line. */
export function formatProgress({ virtualMs, boundMs, bytesShare, ...counts }: Progress, tookMs: number): string {
  const parts = [
    `${(tookMs / 1000).toFixed(0)} s`,
    `at ${(virtualMs / boundMs).toFixed(3)}× the bound`,
    `${(bytesShare * 100).toFixed(1)} % of bytes come`,
    `${counts.unfinishedCount} nodes to finish`,
    `${counts.eventCount} events`,
  ];
  return parts.join(', ');
}

function kib(bytes: number): string {
  return `${bytes / 1024} KiB`;
}

/** The curve: `#` is the share of nodes that have everything, `.` the share of bytes that have come. */
export function drawCurve(figures: SimulationFigures): string {
  const { curve } = figures;
  const endMs = curve.at(-1)?.timeMs ?? 0;
  const columns = Array.from({ length: WIDTH }, (_, column) => pointAt(curve, (endMs * (column + 1)) / WIDTH));
  const lines: string[] = [];
  for (let row = HEIGHT; row > 0; row -= 1) {
    const level = (row - 0.5) / HEIGHT;
    const label = row === HEIGHT ? '100 %' : row === 1 ? '  0 %' : '     ';
    const cells = columns.map(({ doneShare, bytesShare }) =>
      doneShare >= level ? '#' : bytesShare >= level ? '.' : ' ',
    );
    lines.push(`${label} |${cells.join('').trimEnd()}`);
  }
  const boundColumn = Math.min(WIDTH - 1, Math.floor((figures.boundMs / endMs) * WIDTH));
  lines.push(`      +${'-'.repeat(boundColumn)}^${'-'.repeat(WIDTH - boundColumn - 1)}`);
  lines.push(`       0 s, bound at ^, ${(endMs / 1000).toFixed(1)} s;  # nodes done, . bytes come`);
  return lines.join('\n');
}

function pointAt(curve: readonly CurvePoint[], timeMs: number): CurvePoint {
  return curve.find((point) => point.timeMs >= timeMs - 1e-6) ?? { timeMs, bytesShare: 1, doneShare: 1 };
}
