/** The curve of a run as an SVG, complete in itself. */
import type { CurvePoint, SimulationFigures } from './figures.ts';

const WIDTH = 800;
const HEIGHT = 400;
const MARGIN = 50;

/** The picture, as text. */
export function svgPlot(figures: SimulationFigures): string {
  const { curve, boundMs, scenario, completion } = figures;
  const endMs = Math.max(boundMs, curve.at(-1)?.timeMs ?? 0);
  const x = (timeMs: number): number => MARGIN + ((WIDTH - 2 * MARGIN) * timeMs) / endMs;
  const y = (share: number): number => HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share;
  const line = (of: (point: CurvePoint) => number): string =>
    curve.map((point) => `${x(point.timeMs).toFixed(1)},${y(of(point)).toFixed(1)}`).join(' ');
  const title = `${scenario.nodes} nodes, p50 ${completion.p50.toFixed(2)}, p99 ${completion.p99.toFixed(2)} of the bound`;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => tick(x(endMs * share), (endMs * share) / 1000));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${MARGIN}" y="24" font-size="15">${title}</text>`,
    `<path d="M${MARGIN},${y(1)} V${y(0)} H${WIDTH - MARGIN}" fill="none" stroke="black"/>`,
    `<line x1="${x(boundMs)}" x2="${x(boundMs)}" y1="${y(0)}" y2="${y(1)}" stroke="gray" stroke-dasharray="4"/>`,
    `<text x="${x(boundMs) - 4}" y="${y(1) - 4}" text-anchor="end" fill="gray">size ÷ rate</text>`,
    `<polyline points="${line((point) => point.bytesShare)}" fill="none" stroke="steelblue" stroke-width="2"/>`,
    `<polyline points="${line((point) => point.doneShare)}" fill="none" stroke="darkorange" stroke-width="2"/>`,
    `<text x="${MARGIN + 10}" y="${y(0.92)}" fill="steelblue">share of all bytes that have come</text>`,
    `<text x="${MARGIN + 10}" y="${y(0.86)}" fill="darkorange">share of nodes that have everything</text>`,
    `<text x="${MARGIN - 6}" y="${y(1) + 4}" text-anchor="end">100 %</text>`,
    `<text x="${MARGIN - 6}" y="${y(0) + 4}" text-anchor="end">0 %</text>`,
    ...ticks,
    '</svg>',
    '',
  ].join('\n');
}

function tick(x: number, seconds: number): string {
  return `<text x="${x.toFixed(1)}" y="${HEIGHT - MARGIN + 18}" text-anchor="middle">${seconds.toFixed(1)} s</text>`;
}
