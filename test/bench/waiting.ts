/** Waiting for what a benchmark cannot be told of. */

/** Seldom enough that the questions cost nothing of what is measured. */
const POLL_MS = 200;

/** Waits until `check` answers true. @throws {Error} after the deadline, with what was waited for */
export async function untilTrue(
  what: string,
  deadlineMs: number,
  check: () => boolean | Promise<boolean>,
  pollMs = POLL_MS,
): Promise<void> {
  const endsAtMs = performance.now() + deadlineMs;
  while (!(await check())) {
    if (performance.now() > endsAtMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
