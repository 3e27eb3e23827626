/**
 * `WWW-Authenticate`: what a registry asks for.
 * @see RFC 9110, section 11.6.1
 */

/** One challenge. Scheme and parameter names are in lower case. */
export interface AuthChallenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Longer headers are ignored whole: no registry needs them. */
const MAX_HEADER_LENGTH = 8192;

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const BLANKS = /[\s,]*/y;
const EQUALS = /[ \t]*=[ \t]*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BARE_VALUE = /[^\s,"]+/y;

class Scanner {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#position >= this.#text.length;
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#position = pattern.lastIndex;
    return match;
  }
}

/** The challenges of a header's values, in order. What cannot be understood ends the reading of that value. */
export function parseAuthChallenges(headers: readonly string[]): AuthChallenge[] {
  return headers.flatMap((header) => (header.length > MAX_HEADER_LENGTH ? [] : parseOne(header)));
}

function parseOne(header: string): AuthChallenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const scanner = new Scanner(header);
  scanner.take(BLANKS);
  while (!scanner.isAtEnd) {
    const word = scanner.take(TOKEN)?.[0].toLowerCase();
    if (word === undefined) break;
    const current = challenges.at(-1);
    if (scanner.take(EQUALS) === undefined) {
      challenges.push({ scheme: word, parameters: {} });
    } else {
      const value = readValue(scanner);
      if (value === undefined || current === undefined) break;
      // The first of two like-named parameters counts: a second one could only be smuggled in.
      if (!Object.hasOwn(current.parameters, word)) current.parameters[word] = value;
    }
    scanner.take(BLANKS);
  }
  return challenges;
}

function readValue(scanner: Scanner): string | undefined {
  const quoted = scanner.take(QUOTED);
  if (quoted !== undefined) return (quoted[1] ?? '').replaceAll(/\\(.)/g, '$1');
  return scanner.take(BARE_VALUE)?.[0];
}
