/** The flags of a benchmark: `--name value` or `--name=value`. */

const RATE_UNITS: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const UNITS: Readonly<Record<string, number>> = { '': 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 };

/** A command line that is wrong: an unknown word, or a value that makes no sense. */
export class FlagError extends TypeError {
  override readonly name = 'FlagError';
}

/** Flags that were given, by name. Whoever reads one whose value makes no sense gets a FlagError. */
export class Flags {
  readonly #values: ReadonlyMap<string, string>;

  private constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
  }

  /** @throws {FlagError} for a flag that is not known, and for a word that is no flag */
  static parse(args: readonly string[], known: readonly string[]): Flags {
    const values = new Map<string, string>();
    const words = args.flatMap((arg) => (/^--[^=]+=/.test(arg) ? splitOnce(arg) : [arg]));
    for (let at = 0; at < words.length; at += 2) {
      const name = words[at]?.replace(/^--/, '') ?? '';
      const value = words[at + 1];
      if (!known.includes(name))
        throw new FlagError(`there is no flag ${words[at]}; known are --${known.join(', --')}`);
      if (value === undefined) throw new FlagError(`--${name} needs a value`);
      values.set(name, value);
    }
    return new Flags(values);
  }

  /** These flags and no others. */
  only(names: readonly string[]): Flags {
    return new Flags(new Map([...this.#values].filter(([name]) => names.includes(name))));
  }

  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** A whole number above 0. */
  count(name: string, fallback: number): number {
    const text = this.#values.get(name);
    if (text === undefined) return fallback;
    if (!/^[1-9]\d*$/.test(text)) throw new FlagError(`--${name} is a number above 0, not ${text}`);
    return Number(text);
  }

  /** Bytes: `64MiB`, `1GiB`. */
  sizeBytes(name: string, fallback: number): number {
    const text = this.#values.get(name);
    if (text === undefined) return fallback;
    const [, number, unit] = /^([1-9]\d*)(|[kmg]ib)$/i.exec(text) ?? [];
    const factor = UNITS[unit?.toLowerCase() ?? 'none'];
    if (factor === undefined) throw new FlagError(`--${name} is a size like 64MiB, not ${text}`);
    return Number(number) * factor;
  }

  /** Bits per second: `100mbit`, `1gbit`. */
  rateBits(name: string, fallback: number): number {
    const text = this.#values.get(name);
    if (text === undefined) return fallback;
    const [, number, unit] = /^(\d+(?:\.\d+)?)([kmg]bit)$/i.exec(text) ?? [];
    const bits = Number(number) * (RATE_UNITS[unit?.toLowerCase() ?? ''] ?? NaN);
    if (!(bits > 0)) throw new FlagError(`--${name} is a rate like 100mbit, not ${text}`);
    return bits;
  }

  /** Seconds, above 0: `2`, `0.5`. */
  seconds(name: string, fallback: number): number {
    const text = this.#values.get(name);
    if (text === undefined) return fallback;
    const seconds = /^\d+(\.\d+)?s?$/.test(text) ? Number(text.replace('s', '')) : NaN;
    if (!(seconds > 0)) throw new FlagError(`--${name} is a number of seconds above 0, not ${text}`);
    return seconds;
  }
}

function splitOnce(arg: string): [string, string] {
  const at = arg.indexOf('=');
  return [arg.slice(0, at), arg.slice(at + 1)];
}
