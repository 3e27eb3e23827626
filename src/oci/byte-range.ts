/**
 * Byte ranges: parsed from `Range`, printed as `Content-Range`.
 * @see RFC 9110, section 14
 */

/** Bytes from `start` to, and not including, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** What a `Range` header comes to, for a body of known size. */
export type RangeRequest =
  | { readonly kind: 'whole' }
  | { readonly kind: 'range'; readonly range: ByteRange }
  | { readonly kind: 'unsatisfiable' };

const WHOLE: RangeRequest = { kind: 'whole' };
const UNSATISFIABLE: RangeRequest = { kind: 'unsatisfiable' };
const SINGLE_RANGE = /^bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*$/i;

/**
 * Reads a `Range` header. A header that is absent, malformed, of another unit, or with several ranges is ignored, as
 * RFC 9110 allows, and the whole body is meant. Reversed positions (`500-0`) are answered as unsatisfiable, because
 * the distribution conformance suite counts on 416 for them.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RangeRequest {
  const match = header === undefined ? null : SINGLE_RANGE.exec(header);
  if (match === null) return WHOLE;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return WHOLE;
  if (first === '') {
    const suffixBytes = Number(last);
    if (suffixBytes === 0 || sizeBytes === 0) return UNSATISFIABLE;
    return { kind: 'range', range: { start: Math.max(0, sizeBytes - suffixBytes), end: sizeBytes } };
  }
  const start = Number(first);
  const lastByte = last === '' ? sizeBytes - 1 : Number(last);
  if (start >= sizeBytes || lastByte < start) return UNSATISFIABLE;
  return { kind: 'range', range: { start, end: Math.min(lastByte + 1, sizeBytes) } };
}

/** `bytes 0-499/1234`, for a 206. */
export function formatContentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.start}-${range.end - 1}/${sizeBytes}`;
}

/** `bytes STAR/1234` with a literal star, for a 416. */
export function formatUnsatisfiedRange(sizeBytes: number): string {
  return `bytes */${sizeBytes}`;
}

/** What a `Content-Range` header says, or `undefined` when it is malformed; `sizeBytes` is undefined for an unknown total. */
export function parseContentRange(header: string): { range: ByteRange; sizeBytes: number | undefined } | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header.trim());
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  const sizeBytes = match[3] === '*' ? undefined : Number(match[3]);
  const sane = Number.isSafeInteger(start) && Number.isSafeInteger(end) && end > start;
  if (!sane || (sizeBytes !== undefined && (end > sizeBytes || !Number.isSafeInteger(sizeBytes)))) return undefined;
  return { range: { start, end }, sizeBytes };
}
