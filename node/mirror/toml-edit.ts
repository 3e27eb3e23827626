/**
 * Careful edits of other people's TOML. Text is inserted, never written anew, so comments and layout stay; and each edit
 * is proven: the file is parsed before and after it, and nothing but what was meant may differ.
 */
import { parse, type TomlTable, type TomlValue } from 'smol-toml';
import { asError } from '../../src/oci/error.ts';
import { nodeError } from '../errors.ts';

/** Mark our lines, so that they can be found again when others have changed the file. */
const BEGIN_MARK = '# dockyard: begin; taken out by `dockyard mirror remove`';
const END_MARK = '# dockyard: end';

/**
 * Reads TOML.
 * @throws {DockyardError} ERR_MIRROR_UNEDITABLE
 */
export function parseToml(text: string, path: string): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    const [firstLine = ''] = asError(error).message.split('\n');
    throw nodeError('ERR_MIRROR_UNEDITABLE', `${path} is not valid TOML: ${firstLine}`, { cause: error });
  }
}

/** Our lines between their marks. */
export function markedBlock(lines: readonly string[]): string {
  return [BEGIN_MARK, ...lines, END_MARK, ''].join('\n');
}

/** The text without our blocks. A block whose end someone removed is left: what is ours there cannot be told. */
export function withoutMarkedBlocks(text: string): string {
  const kept: string[] = [];
  let block: string[] | undefined;
  for (const line of text.split(/(?<=\n)/)) {
    const content = line.trimEnd();
    if (content === BEGIN_MARK) {
      kept.push(...(block ?? []));
      block = [];
    }
    (block ?? kept).push(line);
    if (content === END_MARK) block = undefined;
  }
  return [...kept, ...(block ?? [])].join('');
}

/**
 * Inserts a block at the first place where the outcome is what is wanted: before a table, after a table's header, or at
 * the end.
 * @param isWanted judges the parsed outcome
 * @returns `undefined` when there is no such place
 */
export function insertWhere(
  text: string,
  block: string,
  place: 'before-table' | 'after-header',
  isWanted: (outcome: TomlTable) => boolean,
): string | undefined {
  for (const offset of [...insertionPoints(text, place), text.length]) {
    const before = text.slice(0, offset);
    const glue = before === '' || before.endsWith('\n') ? '' : '\n';
    const candidate = before + glue + block + text.slice(offset);
    if (isWantedText(candidate, isWanted)) return candidate;
  }
  return undefined;
}

function isWantedText(candidate: string, isWanted: (outcome: TomlTable) => boolean): boolean {
  let outcome: TomlTable;
  try {
    outcome = parse(candidate);
  } catch {
    // Not TOML any more: this was the inside of a string or an array, and the next place is tried.
    return false;
  }
  return isWanted(outcome);
}

/** Offsets of lines that look like headers of tables (or of the lines after them), comments right above included. */
function insertionPoints(text: string, place: 'before-table' | 'after-header'): number[] {
  const points: number[] = [];
  let offset = 0;
  let commentsFrom: number | undefined;
  for (const line of text.split(/(?<=\n)/)) {
    const isHeader = /^\s*\[/.test(line);
    if (isHeader && place === 'before-table') points.push(commentsFrom ?? offset);
    if (isHeader && place === 'after-header') points.push(offset + line.length);
    const isComment = /^\s*#/.test(line);
    commentsFrom = isComment ? (commentsFrom ?? offset) : undefined;
    offset += line.length;
  }
  return points;
}

/** True when two values of TOML are the same, the order of keys aside. */
export function isSameToml(left: TomlValue, right: TomlValue): boolean {
  return canonical(left) === canonical(right);
}

function canonical(value: TomlValue): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value instanceof Date) return value.toISOString();
  if (!isTable(value)) return `${typeof value}:${JSON.stringify(String(value))}`;
  const keys = Object.keys(value).toSorted();
  return `{${keys.map((key) => `${JSON.stringify(key)}=${canonical(value[key] ?? '')}`).join()}}`;
}

/** True for a table. */
export function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date);
}

/** The value at a path of keys, or `undefined`. */
export function tomlAt(table: TomlTable, keys: readonly string[]): TomlValue | undefined {
  let value: TomlValue | undefined = table;
  for (const key of keys) value = isTable(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return value;
}
