/**
 * The kinds of values that options have. Each reads the text that stood in the file, the variable or the flag, so that
 * `30s` means the same in all three; each says what it allows, for messages and for docs/CONFIGURATION.md.
 */
import { z } from 'zod';
import { formatHostPort, isHost, parseHostPort, type HostPort } from './address.ts';
import { formatDuration, formatRate, formatSize, parseDuration, parseRate, parseSize } from './quantity.ts';

/** What the unit of a kind adds to the name of an option in code: `tags.ttl` is `config.tags.ttlMs`. */
export type UnitSuffix = '' | 'Ms' | 'Bytes' | 'BytesPerSecond';

/** How values of one kind are read, checked, shown and described. */
export interface ValueKind<Value, Suffix extends UnitSuffix> {
  /** Stands for the value in help texts: `HOST:PORT`. */
  readonly placeholder: string;
  /** What is allowed, to complete "allowed: …". */
  readonly allowed: string;
  readonly suffix: Suffix;
  readonly schema: z.ZodType<Value, string>;
  /** A path: relative ones start at the file that names them, or at the working directory. */
  readonly isPath: boolean;
  /** Text that the kind reads back as `value`. */
  format(value: Value): string;
}

/** The least and the greatest value that an option may have. */
export interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

function kindOf<Value, Suffix extends UnitSuffix>(
  facts: { placeholder: string; allowed: string; suffix: Suffix; isPath?: boolean },
  read: (text: string) => Value | undefined,
  format: (value: Value) => string,
): ValueKind<Value, Suffix> {
  const schema = z.string().transform((text, context): Value => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `allowed: ${facts.allowed}` });
    return z.NEVER;
  });
  return {
    placeholder: facts.placeholder,
    allowed: facts.allowed,
    suffix: facts.suffix,
    isPath: facts.isPath ?? false,
    schema,
    format,
  };
}

function bounded(value: number | undefined, bounds: Bounds): number | undefined {
  if (value === undefined || value < (bounds.min ?? 0) || value > (bounds.max ?? Infinity)) return undefined;
  return value;
}

function withBounds(form: string, bounds: Bounds, format: (value: number) => string): string {
  if (bounds.max !== undefined) return `${form}, from ${format(bounds.min ?? 0)} to ${format(bounds.max)}`;
  return `${form}, or Infinity${bounds.min === undefined || bounds.min === 0 ? '' : `; at least ${format(bounds.min)}`}`;
}

/** A time: `30s`, `1m30s`, `500ms`. */
export function duration(bounds: Bounds = {}): ValueKind<number, 'Ms'> {
  const allowed = withBounds('a duration such as 500ms, 30s, 5m, 2h or 0', bounds, formatDuration);
  const facts = { placeholder: 'DURATION', allowed, suffix: 'Ms' } as const;
  return kindOf(facts, (text) => bounded(parseDuration(text), bounds), formatDuration);
}

/** A number of bytes: `10GiB`. */
export function size(bounds: Bounds = {}): ValueKind<number, 'Bytes'> {
  const allowed = withBounds('a size such as 512MiB, 10GiB, 500MB or 0', bounds, formatSize);
  const facts = { placeholder: 'SIZE', allowed, suffix: 'Bytes' } as const;
  return kindOf(facts, (text) => bounded(parseSize(text), bounds), formatSize);
}

/** Bytes per second: `100MiB/s`, `200mbit`. */
export function rate(bounds: Bounds = {}): ValueKind<number, 'BytesPerSecond'> {
  const allowed = withBounds('a rate such as 100MiB/s, 200mbit or 1gbit', bounds, formatRate);
  const facts = { placeholder: 'RATE', allowed, suffix: 'BytesPerSecond' } as const;
  return kindOf(facts, (text) => bounded(parseRate(text), bounds), formatRate);
}

/** A whole number. `Infinity` is allowed where there is no upper bound. */
export function count(bounds: Bounds = {}): ValueKind<number, ''> {
  const facts = { placeholder: 'N', allowed: withBounds('a whole number', bounds, String), suffix: '' } as const;
  const read = (text: string): number | undefined => {
    if (text === 'Infinity') return bounded(Infinity, bounds);
    return /^\d{1,15}$/.test(text) ? bounded(Number(text), bounds) : undefined;
  };
  return kindOf(facts, read, String);
}

/** Yes or no. */
export function toggle(): ValueKind<boolean, ''> {
  const read = (text: string): boolean | undefined => ({ true: true, false: false })[text];
  return kindOf({ placeholder: 'true|false', allowed: 'true or false', suffix: '' }, read, String);
}

/** One of a few words. */
export function choice<const Words extends readonly [string, ...string[]]>(words: Words): ValueKind<Words[number], ''> {
  const allowed = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
  const read = (text: string): Words[number] | undefined => words.find((word) => word === text);
  return kindOf({ placeholder: words.join('|'), allowed, suffix: '' }, read, (word) => word);
}

/** Where to listen. */
export function address(): ValueKind<HostPort, ''> {
  const allowed = 'HOST:PORT, such as 127.0.0.1:5000, [::1]:5000 or 0.0.0.0:5002; port 0 lets the system choose';
  return kindOf({ placeholder: 'HOST:PORT', allowed, suffix: '' }, parseHostPort, formatHostPort);
}

/** A host and port of another machine: the port cannot be 0. */
export function remoteAddress(): ValueKind<HostPort, ''> {
  const allowed = 'HOST:PORT of another machine, such as node-1.lan:5002';
  const read = (text: string): HostPort | undefined => {
    const parsed = parseHostPort(text);
    return parsed?.port === 0 ? undefined : parsed;
  };
  return kindOf({ placeholder: 'HOST:PORT', allowed, suffix: '' }, read, formatHostPort);
}

/** A host without a port. */
export function host(): ValueKind<string, ''> {
  const read = (text: string): string | undefined => (isHost(text) ? text : undefined);
  return kindOf({ placeholder: 'HOST', allowed: 'a host name or IP address', suffix: '' }, read, (text) => text);
}

/** The path of a file or folder. */
export function path(placeholder: 'FILE' | 'DIR'): ValueKind<string, ''> {
  const allowed = placeholder === 'FILE' ? 'the path of a file' : 'the path of a folder';
  const read = (text: string): string | undefined => (text === '' || text.includes('\0') ? undefined : text);
  return kindOf({ placeholder, allowed, suffix: '', isPath: true }, read, (text) => text);
}

/** Any text without control characters, of a bounded length. */
export function text(placeholder: string, maxLength: number): ValueKind<string, ''> {
  const allowed = `text of 1 to ${maxLength} characters without control characters`;
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  const isPlain = (value: string): boolean => value.length <= maxLength && /^[^\u0000-\u001f\u007f]+$/.test(value);
  return kindOf(
    { placeholder, allowed, suffix: '' },
    (value) => (isPlain(value) ? value : undefined),
    (value) => value,
  );
}

/**
 * The URL of a server, with the given schemes, without credentials, query or fragment; no slash at its end. With `withQuery`
 * a query is allowed, and the URL stays as it is.
 */
export function url(
  schemes: readonly string[],
  example: string,
  { withQuery = false }: { withQuery?: boolean } = {},
): ValueKind<string, ''> {
  const without = withQuery ? 'user or fragment' : 'user, query or fragment';
  const allowed = `a URL (${schemes.join(', ')}) without ${without}, such as ${example}`;
  const read = (value: string): string | undefined => {
    const parsed = URL.canParse(value) ? new URL(value) : undefined;
    if (parsed === undefined || !schemes.includes(parsed.protocol.slice(0, -1)) || parsed.hostname === '')
      return undefined;
    if (parsed.username !== '' || parsed.password !== '' || parsed.hash !== '') return undefined;
    if (withQuery) return value;
    return parsed.search === '' ? value.replace(/\/+$/, '') : undefined;
  };
  return kindOf({ placeholder: 'URL', allowed, suffix: '' }, read, (value) => value);
}

/** The URL of a proxy; user and password may stand in it, and `http://` may be left out, as in `HTTP_PROXY`. */
export function proxyUrl(): ValueKind<string, ''> {
  const allowed = 'the URL of a proxy, such as http://proxy.lan:3128 or http://user:password@proxy.lan:3128';
  const read = (value: string): string | undefined => {
    const full = value.includes('://') ? value : `http://${value}`;
    const parsed = URL.canParse(full) ? new URL(full) : undefined;
    return parsed !== undefined && /^https?:$/.test(parsed.protocol) && parsed.hostname !== '' ? full : undefined;
  };
  return kindOf({ placeholder: 'URL', allowed, suffix: '' }, read, (value) => value);
}

/** How many copies of the images of a pattern. */
export interface CopiesValue {
  readonly pattern: string;
  readonly copies: number;
}

/** Copies of images: `NAME:TAG=N`. */
export function copies(): ValueKind<CopiesValue, ''> {
  const read = (value: string): CopiesValue | undefined => {
    const match = /^([^\s=]{1,400})=(\d{1,4})$/.exec(value);
    const [, pattern, countText] = match ?? [];
    const count = Number(countText);
    return pattern === undefined || count < 2 || count > 1000 ? undefined : { pattern, copies: count };
  };
  const facts = {
    placeholder: 'NAME:TAG=N',
    allowed: 'a pattern of tags and a number of copies from 2 to 1000, such as team/**:v*=3',
    suffix: '',
  } as const;
  return kindOf(facts, read, (value) => `${value.pattern}=${value.copies}`);
}

/** A header of HTTP requests. */
export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

/** A header: `Name: value`, of printable characters. */
export function header(): ValueKind<HeaderValue, ''> {
  const read = (text: string): HeaderValue | undefined => {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\u0020-\u007e]{1,8192})$/.exec(text.trim());
    const [, name, value] = match ?? [];
    return name === undefined || value === undefined ? undefined : { name, value };
  };
  const facts = {
    placeholder: 'NAME: VALUE',
    allowed: 'a header such as `Authorization: Bearer abc`',
    suffix: '',
  } as const;
  return kindOf(facts, read, ({ name, value }) => `${name}: ${value}`);
}
