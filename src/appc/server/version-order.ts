/** Which of several versions is the latest. Pure. */

/** A version and when it was pushed. */
export interface DatedVersion {
  readonly version: string;
  readonly pushedAtMs: number;
}

const NUMBERED = /^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]{1,128}))?(?:\+[0-9A-Za-z.-]{1,128})?$/;

/**
 * True when `a` comes after `b`: numbered versions by their numbers, a release after what led to it, and all of them after
 * versions that are no numbers, of which the one pushed last is the later.
 */
export function isLater(a: DatedVersion, b: DatedVersion): boolean {
  const [numbersA, numbersB] = [NUMBERED.exec(a.version), NUMBERED.exec(b.version)];
  if (numbersA === null || numbersB === null) {
    return numbersA === numbersB ? a.pushedAtMs > b.pushedAtMs : numbersA !== null;
  }
  for (const group of [1, 2, 3]) {
    const difference = Number(numbersA[group] ?? 0) - Number(numbersB[group] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  const order = comparePrerelease(numbersA[4], numbersB[4]);
  return order === 0 ? a.pushedAtMs > b.pushedAtMs : order > 0;
}

/** @see Semantic Versioning 2.0.0, section 11 */
function comparePrerelease(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  const [partsA, partsB] = [a.split('.'), b.split('.')];
  for (let at = 0; at < Math.min(partsA.length, partsB.length); at += 1) {
    const [partA = '', partB = ''] = [partsA[at], partsB[at]];
    if (partA === partB) continue;
    const [isNumberA, isNumberB] = [/^\d+$/.test(partA), /^\d+$/.test(partB)];
    if (isNumberA && isNumberB) return Number(partA) - Number(partB);
    if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
    return partA < partB ? -1 : 1;
  }
  return partsA.length - partsB.length;
}
