/**
 * Durations, sizes and rates as people write them. Parsing answers `undefined` for what is none; formatting gives the
 * shortest text that parses back to the same number.
 */

const DURATION_UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type DurationUnit = keyof typeof DURATION_UNITS_MS;

const SIZE_UNITS_BYTES = {
  B: 1,
  kB: 1000,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
} as const;
type SizeUnit = keyof typeof SIZE_UNITS_BYTES;

const BIT_UNITS_PER_SECOND = { kbit: 1000, mbit: 1000 ** 2, gbit: 1000 ** 3 } as const;
type BitUnit = keyof typeof BIT_UNITS_PER_SECOND;

const DURATION_PATTERN = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/g;
const SIZE_PATTERN = /^(\d+(?:\.\d+)?) ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$/;
const BIT_RATE_PATTERN = /^(\d+(?:\.\d+)?) ?(kbit|mbit|gbit)(?:\/s)?$/i;

/** Milliseconds of `30s`, `500ms`, `1m30s`, `2h`, `1d`, `0` or `Infinity`. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (text === 'Infinity') return Infinity;
  if (!DURATION_PATTERN.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    totalMs += Number(amount) * DURATION_UNITS_MS[unit as DurationUnit];
  }
  return Math.round(totalMs);
}

/** The duration in the largest unit that expresses it whole: `90s`, `2h`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return '0';
  if (durationMs === Infinity) return 'Infinity';
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (durationMs % DURATION_UNITS_MS[unit] === 0) return `${durationMs / DURATION_UNITS_MS[unit]}${unit}`;
  }
  return `${durationMs}ms`;
}

/** Bytes of `10GiB`, `500MB`, `1.5TiB`, `4096` or `Infinity`. A bare number is bytes. */
export function parseSize(text: string): number | undefined {
  if (text === 'Infinity') return Infinity;
  if (/^\d+$/.test(text)) return safeInteger(Number(text));
  const match = SIZE_PATTERN.exec(text);
  if (match === null) return undefined;
  return safeInteger(Math.round(Number(match[1]) * SIZE_UNITS_BYTES[match[2] as SizeUnit]));
}

/** The size in the largest binary unit that expresses it whole: `10GiB`; bytes otherwise. */
export function formatSize(sizeBytes: number): string {
  if (sizeBytes === 0) return '0';
  if (sizeBytes === Infinity) return 'Infinity';
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const) {
    if (sizeBytes % SIZE_UNITS_BYTES[unit] === 0) return `${sizeBytes / SIZE_UNITS_BYTES[unit]}${unit}`;
  }
  return `${sizeBytes}B`;
}

/** Bytes per second of `100MiB/s`, `100MiB`, `200mbit`, `1Gbit/s`, `0` or `Infinity`. */
export function parseRate(text: string): number | undefined {
  const bits = BIT_RATE_PATTERN.exec(text);
  if (bits !== null) {
    const unit = (bits[2] ?? '').toLowerCase() as BitUnit;
    return safeInteger(Math.round((Number(bits[1]) * BIT_UNITS_PER_SECOND[unit]) / 8));
  }
  return parseSize(text.endsWith('/s') ? text.slice(0, -2) : text);
}

/** The rate as `100MiB/s`, `0` or `Infinity`. */
export function formatRate(bytesPerSecond: number): string {
  if (bytesPerSecond === 0 || bytesPerSecond === Infinity) return formatSize(bytesPerSecond);
  return `${formatSize(bytesPerSecond)}/s`;
}

function safeInteger(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}
