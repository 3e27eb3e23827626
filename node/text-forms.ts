/** Numbers and tables as people read them. */

const SIZE_STEPS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1.5 GiB`: three digits at most. */
export function showSize(sizeBytes: number): string {
  if (sizeBytes === Infinity) return 'no limit';
  let value = sizeBytes;
  let step = 0;
  while (value >= 999.5 && step < SIZE_STEPS.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = step === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${SIZE_STEPS[step] ?? ''}`;
}

/** `3 min 20 s`: the two largest units. */
export function showDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** `sha256:0123456789ab`: enough to tell blobs apart. */
export function showDigest(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 13);
}

/** A bar of 20 characters for a fraction from 0 to 1. */
export function showBar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * 20);
  return `${'█'.repeat(filled)}${'░'.repeat(20 - filled)}`;
}

/** Lines of columns under a head; cells are padded, the last of each line is not. */
export function showTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** `3 blobs`, `1 blob`. */
export function showCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Characters that would move a terminal's cursor, hide text or turn its direction. */
const UNTRUSTED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text of strangers on one line: what a terminal would act on is shown as `\u{1b}`; what is too long is cut. */
export function showUntrusted(text: string, maxLength = 1024): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replaceAll(UNTRUSTED, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`);
}
