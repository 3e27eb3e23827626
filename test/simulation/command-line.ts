/** The flags of `scripts/simulate`: what each means, how it is read, and what is wrong with a wrong one. */
import { DEFAULT_SCENARIO, type Scenario } from './scenario.ts';

/** What was asked for. */
export interface Command {
  readonly scenario: Scenario;
  /** Where the figures go as JSON, and the curve as SVG. */
  readonly jsonPath: string | undefined;
  readonly plotPath: string | undefined;
}

interface Flag {
  readonly value: string;
  readonly summary: string;
  /** @throws {TypeError} when the text makes no sense; the message says what would */
  readonly read: (text: string) => Partial<Scenario>;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};
const RATE_UNITS: Readonly<Record<string, number>> = { kbit: 125, mbit: 125_000, gbit: 125_000_000 };
const TIME_UNITS_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };

/** A number with one of the units given, above 0. */
function measured(text: string, units: Readonly<Record<string, number>>, example: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text) ?? [];
  const factor = units[unit?.toLowerCase() ?? 'none'];
  const value = Number(number) * (factor ?? NaN);
  if (!(value > 0)) throw new TypeError(`a value like ${example} is wanted, not '${text}'`);
  return value;
}

const sizeBytes = (text: string): number => Math.round(measured(text, SIZE_UNITS, '1GiB or 64MiB'));
const rateBytesPerSecond = (text: string): number => measured(text, RATE_UNITS, '1gbit or 200mbit');

function timeMs(text: string): number {
  return text === '0' ? 0 : measured(text, TIME_UNITS_MS, '1ms or 250us');
}

function whole(text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new TypeError(`a whole number from ${least} to ${most} is wanted, not '${text}'`);
  }
  return value;
}

function share(text: string, most: number): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value > most) {
    throw new TypeError(`a number from 0 to ${most} is wanted, not '${text}'`);
  }
  return value;
}

function arrival(text: string): Scenario['arrival'] {
  if (text === 'all' || text === 'rolling') return text;
  throw new TypeError(`all or rolling is wanted, not '${text}'`);
}

function pieceSize(text: string): number {
  const bytes = sizeBytes(text);
  if (bytes < 16 * 1024) throw new TypeError(`at least 16KiB is wanted, not '${text}'`);
  return bytes;
}

const FLAGS: Readonly<Record<string, Flag>> = {
  nodes: {
    value: 'COUNT',
    summary: 'nodes that want the blob (1000)',
    read: (text) => ({ nodes: whole(text, 1, 100_000) }),
  },
  blob: { value: 'SIZE', summary: 'size of the blob (1GiB)', read: (text) => ({ blobSizeBytes: sizeBytes(text) }) },
  blobs: {
    value: 'COUNT',
    summary: 'blobs of that size at once (1)',
    read: (text) => ({ blobs: whole(text, 1, 64) }),
  },
  rate: {
    value: 'RATE',
    summary: 'of every link, each way (1gbit)',
    read: (text) => ({ rateBytesPerSecond: rateBytesPerSecond(text) }),
  },
  'origin-rate': {
    value: 'RATE',
    summary: 'of the origin (as --rate)',
    read: (text) => ({ originRateBytesPerSecond: rateBytesPerSecond(text) }),
  },
  'origin-connection-rate': {
    value: 'RATE',
    summary: 'of one connection to the origin (no limit)',
    read: (text) => ({ originConnectionRateBytesPerSecond: rateBytesPerSecond(text) }),
  },
  latency: {
    value: 'TIME',
    summary: 'one way, between any two nodes (1ms)',
    read: (text) => ({ latencyMs: timeMs(text) }),
  },
  piece: {
    value: 'SIZE',
    summary: 'size of a piece (as nodes cut blobs; coarser where the run would be too large)',
    read: (text) => ({ pieceSizeBytes: pieceSize(text) }),
  },
  arrival: {
    value: 'all|rolling',
    summary: 'all ask at once, or one after the other over size/rate (all)',
    read: (text) => ({ arrival: arrival(text) }),
  },
  late: {
    value: 'COUNT',
    summary: 'further nodes that ask at half of size/rate (0)',
    read: (text) => ({ lateNodes: whole(text, 0, 100_000) }),
  },
  churn: {
    value: 'SHARE',
    summary: 'share of the nodes that is replaced each second (0)',
    read: (text) => ({ churnPerSecond: share(text, 1) }),
  },
  'kill-home': {
    value: 'SHARE',
    summary: 'the home ends when it holds this share (never)',
    read: (text) => ({ killHomeAt: share(text, 1) }),
  },
  'stop-holder': {
    value: 'SHARE',
    summary: 'a holder falls silent when it holds this share (never)',
    read: (text) => ({ stopHolderAt: share(text, 1) }),
  },
  'max-holders': {
    value: 'COUNT',
    summary: "holders of one journey, as transfer.maxHolders in a node's configuration (16)",
    read: (text) => ({ maxHolders: whole(text, 1, 1024) }),
  },
  'upload-slots': {
    value: 'COUNT',
    summary: 'peers served at once, as transfer.uploadSlots (64)',
    read: (text) => ({ uploadSlots: whole(text, 1, 65_536) }),
  },
  seed: {
    value: 'NUMBER',
    summary: 'the same seed gives the same run (1)',
    read: (text) => ({ seed: whole(text, 0, 2 ** 31 - 1) }),
  },
};

const OUTPUTS: Readonly<Record<string, string>> = {
  json: 'writes the figures to FILE',
  plot: 'draws the curve into FILE, an SVG',
};

/** What `--help` prints. */
export function helpText(): string {
  const lines = ['Usage: scripts/simulate [--flag VALUE]…', '', 'A swarm in virtual time. See docs/SIMULATION.md.', ''];
  for (const [name, { value, summary }] of Object.entries(FLAGS)) lines.push(flagLine(`--${name} ${value}`, summary));
  for (const [name, summary] of Object.entries(OUTPUTS)) lines.push(flagLine(`--${name} FILE`, summary));
  lines.push('', 'Exit code: 0 when all nodes that lived were served, 1 when some were not, 2 for a wrong command.');
  return lines.join('\n');
}

function flagLine(flag: string, summary: string): string {
  return `  ${flag.padEnd(32)}${summary}`;
}

/** Reads the words after the program's name. @throws {TypeError} with a message for a person */
export function parseCommand(words: readonly string[]): Command {
  const values = pairs(words);
  let scenario: Scenario = DEFAULT_SCENARIO;
  for (const [name, text] of values) scenario = { ...scenario, ...readFlag(name, text) };
  if (!values.has('origin-rate')) scenario = { ...scenario, originRateBytesPerSecond: scenario.rateBytesPerSecond };
  return { scenario, jsonPath: values.get('json'), plotPath: values.get('plot') };
}

function pairs(words: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  const rest = words.flatMap((word) => (/^--[^=]+=/.test(word) ? splitOnce(word) : [word]));
  for (let at = 0; at < rest.length; at += 2) {
    const word = rest[at] ?? '';
    const name = word.replace(/^--/, '');
    const text = rest[at + 1];
    if (!word.startsWith('--') || (FLAGS[name] === undefined && OUTPUTS[name] === undefined)) {
      throw new TypeError(`there is no flag '${word}'; scripts/simulate --help lists them`);
    }
    if (text === undefined || text.startsWith('--')) throw new TypeError(`${word} needs a value`);
    if (values.has(name)) throw new TypeError(`${word} is given twice`);
    values.set(name, text);
  }
  return values;
}

function readFlag(name: string, text: string): Partial<Scenario> {
  try {
    return FLAGS[name]?.read(text) ?? {};
  } catch (error) {
    if (error instanceof TypeError) throw new TypeError(`--${name}: ${error.message}`, { cause: error });
    throw error;
  }
}

function splitOnce(word: string): [string, string] {
  const at = word.indexOf('=');
  return [word.slice(0, at), word.slice(at + 1)];
}
