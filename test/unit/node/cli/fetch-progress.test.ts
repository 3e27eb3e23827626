import { PassThrough } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { momentOf, momentText, progressForm, showProgress } from '../../../../node/cli/fetch-progress.ts';
import { FetchProgress, RateMeter } from '../../../../node/fetch/progress.ts';

const MIB = 1024 * 1024;

function terminal(isInteractive: boolean): { out: PassThrough; err: PassThrough; isInteractive: boolean } {
  return { out: new PassThrough(), err: Object.assign(new PassThrough(), { isTTY: isInteractive }), isInteractive };
}

const textOf = (stream: PassThrough): string => (stream.read() as Buffer | null)?.toString() ?? '';

describe('the rate', () => {
  test('is that of the last seconds', () => {
    const meter = new RateMeter();
    expect(meter.bytesPerSecond()).toBe(0);
    meter.sample(0, 0);
    expect(meter.bytesPerSecond()).toBe(0);
    meter.sample(1000, 500);
    expect(meter.bytesPerSecond()).toBe(500);
    for (let second = 2; second <= 20; second += 1) meter.sample(second * 1000, 500 + (second - 1) * 100);
    expect(meter.bytesPerSecond()).toBe(100);
  });

  test('is never below nothing', () => {
    const meter = new RateMeter();
    meter.sample(0, 500);
    meter.sample(1000, 0);
    expect(meter.bytesPerSecond()).toBe(0);
  });
});

describe('progress', () => {
  test('tells share, sizes, rate, peers and the time that is left', () => {
    const progress = new FetchProgress();
    const meter = new RateMeter();
    progress.phase = 'fetching';
    progress.totalBytes = 10 * MIB;
    progress.peerCount = 2;
    progress.reused(2 * MIB);
    momentOf(progress, meter, 0);
    progress.received(3 * MIB);
    expect(momentText(momentOf(progress, meter, 1000))).toBe(
      '50 % · 5.00 MiB of 10.0 MiB · 3.00 MiB/s · 2 peers · 2 s left',
    );
  });

  test('says what is known, and no more', () => {
    const [progress, meter] = [new FetchProgress(), new RateMeter()];
    expect(momentText(momentOf(progress, meter, 0))).toBe('looking');
    progress.phase = 'seeding';
    progress.sentBytes = MIB;
    expect(momentText(momentOf(progress, meter, 1000))).toMatch(/^seeding · 1\.00 MiB sent/);
  });

  test('is a bar on a terminal, lines elsewhere, JSON for programs, and nothing when that was asked for', () => {
    expect(progressForm(terminal(true), {})).toBe('bar');
    expect(progressForm(terminal(false), {})).toBe('lines');
    expect(progressForm(terminal(true), { json: true })).toBe('json');
    expect(progressForm(terminal(true), { json: true, quiet: true })).toBe('none');
  });

  test.each(['bar', 'lines', 'json', 'none'] as const)('as %s ends with where it came to', (form) => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const progress = new FetchProgress();
    const shown = terminal(form === 'bar');
    {
      using _shown = showProgress(progress, shown, form);
      vi.advanceTimersByTime(2_000);
      progress.phase = 'fetching';
      progress.totalBytes = MIB;
      progress.received(MIB);
    }
    const [out, err] = [textOf(shown.out), textOf(shown.err)];
    if (form === 'json') {
      const lines = out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object);
      expect(lines.at(-1)).toMatchObject({ kind: 'progress', phase: 'fetching', doneBytes: MIB, totalBytes: MIB });
    } else expect(out).toBe('');
    expect(err.includes('1.00 MiB of 1.00 MiB')).toBe(form === 'bar' || form === 'lines');
  });

  test('as lines says nothing of what is done in a moment', () => {
    const shown = terminal(false);
    {
      using _shown = showProgress(new FetchProgress(), shown, 'lines');
    }
    expect(textOf(shown.err)).toBe('');
  });
});
