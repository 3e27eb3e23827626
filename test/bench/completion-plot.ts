/** A crowd drawn: the bytes that each node has, over time, as SVG. */
import type { Arrival } from './arrivals.ts';

/** One line of the plot. */
export interface PlotSeries {
  readonly name: string;
  /** Drawn dashed: a node that was stopped or killed. */
  readonly isVictim: boolean;
  readonly points: readonly Arrival[];
}

/** What is drawn. */
export interface CompletionPlot {
  readonly title: string;
  readonly sizeBytes: number;
  /** Size ÷ rate. */
  readonly boundSeconds: number;
  readonly series: readonly PlotSeries[];
  /** What was done to the crowd, and when. */
  readonly marks: readonly { readonly seconds: number; readonly text: string }[];
}

const WIDTH = 960;
const HEIGHT = 480;
const LEFT = 70;
const RIGHT = 20;
const TOP = 40;
const BOTTOM = 50;
const MIB = 1024 ** 2;
const TICKS = 6;
/** Turns neighbours on the list far apart on the wheel of colours. */
const GOLDEN_ANGLE = 137.5;

/** An SVG document. */
export function drawCompletion(plot: CompletionPlot): string {
  const ends = plot.series.map(({ points }) => points.at(-1)?.[0] ?? 0);
  const untilSeconds = Math.max(plot.boundSeconds, ...ends) * 1.03;
  const x = (seconds: number): number => LEFT + (seconds / untilSeconds) * (WIDTH - LEFT - RIGHT);
  const y = (sizeBytes: number): number => HEIGHT - BOTTOM - (sizeBytes / plot.sizeBytes) * (HEIGHT - TOP - BOTTOM);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    text(LEFT, 24, plot.title, 'font-size="15"'),
    ...axes(plot, untilSeconds, x, y),
    line([x(0), y(0)], [x(plot.boundSeconds), y(plot.sizeBytes)], 'stroke="#999" stroke-dasharray="4 4"'),
    text(x(plot.boundSeconds) - 4, y(plot.sizeBytes) - 6, 'size ÷ rate', 'fill="#777" text-anchor="end"'),
    ...plot.series.map((series, index) => curve(series, index, x, y)),
    ...plot.marks.flatMap((mark) => [
      line([x(mark.seconds), TOP], [x(mark.seconds), HEIGHT - BOTTOM], 'stroke="#c00"'),
      text(x(mark.seconds) + 4, TOP + 12, mark.text, 'fill="#c00"'),
    ]),
    '</svg>',
  ];
  return `${lines.join('\n')}\n`;
}

type Scale = (value: number) => number;

function axes(plot: CompletionPlot, untilSeconds: number, x: Scale, y: Scale): string[] {
  const lines = [
    line([x(0), y(0)], [WIDTH - RIGHT, y(0)], 'stroke="black"'),
    line([x(0), y(0)], [x(0), TOP], 'stroke="black"'),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'seconds', 'text-anchor="middle"'),
    text(LEFT - 8, TOP - 10, 'MiB', 'text-anchor="end"'),
  ];
  for (let tick = 0; tick <= TICKS; tick += 1) {
    const seconds = (untilSeconds * tick) / TICKS;
    const sizeBytes = (plot.sizeBytes * tick) / TICKS;
    lines.push(
      text(x(seconds), HEIGHT - BOTTOM + 18, seconds.toFixed(1), 'text-anchor="middle"'),
      text(LEFT - 8, y(sizeBytes) + 4, (sizeBytes / MIB).toFixed(0), 'text-anchor="end"'),
      line([x(0), y(sizeBytes)], [WIDTH - RIGHT, y(sizeBytes)], 'stroke="#eee"'),
    );
  }
  return lines;
}

function curve(series: PlotSeries, index: number, x: Scale, y: Scale): string {
  const points = series.points.map(([seconds, sizeBytes]) => `${x(seconds).toFixed(1)},${y(sizeBytes).toFixed(1)}`);
  const colour = `hsl(${((index * GOLDEN_ANGLE) % 360).toFixed(0)} 70% 42%)`;
  const dashes = series.isVictim ? ' stroke-dasharray="2 3"' : '';
  const title = `<title>${escapeXml(series.name)}</title>`;
  return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"${dashes}>${title}</polyline>`;
}

function line(from: readonly [number, number], to: readonly [number, number], style: string): string {
  const [x1, y1, x2, y2] = [...from, ...to].map((value) => value.toFixed(1));
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" ${style}/>`;
}

function text(x: number, y: number, content: string, style: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${escapeXml(content)}</text>`;
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
