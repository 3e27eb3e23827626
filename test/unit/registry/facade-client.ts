/** What tests of the facade share beside the fixture. */

/** An answer as it stood on the wire; header names in lower case. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Waits until the condition holds, asking again and again, and fails after five seconds. */
export async function poll(condition: () => boolean, intervalMs = 5): Promise<void> {
  const endsAtMs = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > endsAtMs) throw new Error('the condition did not come to hold');
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

/** Reads one answer from bytes. */
export function parseTestAnswer(bytes: Buffer): RawAnswer {
  const split = bytes.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = bytes.subarray(0, split).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  return { status: Number(statusLine.split(' ')[1]), headers, body: bytes.subarray(split + 4) };
}
