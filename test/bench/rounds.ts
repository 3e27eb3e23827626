/** Two ways that take turns, so that what changes on the machine changes for both. */

/** Runs `measure` some times for nothing, and then `rounds` times. */
export async function repeat<Result>(
  turns: { readonly warmups: number; readonly rounds: number },
  measure: (round: number) => Promise<Result>,
  log: (line: string) => void,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let round = -turns.warmups; round < turns.rounds; round += 1) {
    const result = await measure(round);
    log(`  ${round < 0 ? 'warm-up' : `round ${round + 1}`}: ${describe(result)}`);
    if (round >= 0) results.push(result);
  }
  return results;
}

function describe(result: unknown): string {
  if (typeof result !== 'object' || result === null) return String(result);
  const parts = Object.entries(result).filter(([, value]) => typeof value === 'number');
  return parts.map(([name, value]) => `${name} ${Number(value).toPrecision(4)}`).join(', ');
}
