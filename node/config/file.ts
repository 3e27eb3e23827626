/**
 * Reads options from a YAML file, each with the line on which it stands. Values stay text: `ttl: 60s` and `--tags-ttl
 * 60s` are read by the same code.
 */
import { dirname } from 'node:path';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Scalar } from 'yaml';
import type { ConfigEntry, ConfigProblem, SourceReading, ValueSource } from './entry.ts';
import { nearestWord } from './nearest.ts';
import type { AnySpec, GroupOptions, NamedSpec } from './option.ts';
import { flatOptions, formatOptionPath, NODE_OPTIONS, type OptionPath, type OptionSet } from './tree.ts';

/** Reads the options in the text of a configuration file. `file` is its absolute path. */
export function readFileText(text: string, file: string, set: OptionSet = NODE_OPTIONS): SourceReading {
  return new FileReader(text, file, set).read();
}

class FileReader {
  readonly #file: string;
  readonly #set: OptionSet;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;
  readonly #entries: ConfigEntry[] = [];
  readonly #problems: ConfigProblem[] = [];
  readonly #names = new Map<string, string[]>();

  constructor(text: string, file: string, set: OptionSet) {
    this.#file = file;
    this.#set = set;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
  }

  read(): SourceReading {
    for (const fault of [...this.#document.errors, ...this.#document.warnings]) {
      this.#problem(fault.pos[0], `not valid YAML: ${fault.message}`);
    }
    if (this.#problems.length === 0) this.#readGroup(this.#document.contents, this.#set.tree, []);
    return { entries: this.#entries, problems: this.#problems, names: this.#names };
  }

  #source(offset: number): ValueSource {
    return { kind: 'file', file: this.#file, line: Math.max(1, this.#lines.linePos(offset).line) };
  }

  #problem(offset: number, message: string): void {
    this.#problems.push({ source: this.#source(offset), message });
  }

  #resolved(node: unknown): unknown {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }

  /** Calls `each` for every key of a map; a missing value, as of a group with all its lines commented out, has none. */
  #eachPair(found: unknown, path: OptionPath, each: (key: string, value: unknown, offset: number) => void): void {
    const node = this.#resolved(found);
    if (node === null || node === undefined || (isScalar(node) && node.value === null)) return;
    if (!isMap(node)) {
      this.#problem(
        offsetOf(node),
        `${path.length === 0 ? 'the file' : formatOptionPath(path)} must be a map of options`,
      );
      return;
    }
    for (const { key, value } of node.items) {
      const name = scalarText(key);
      if (name === undefined) this.#problem(offsetOf(key), 'the name of an option must be plain text');
      else each(name, value, offsetOf(key));
    }
  }

  #readGroup(node: unknown, options: GroupOptions, path: OptionPath): void {
    this.#eachPair(node, path, (key, value, offset) => {
      const spec = Object.hasOwn(options, key) ? options[key] : undefined;
      if (spec === undefined) this.#unknown(key, options, path, offset);
      else this.#readSpec(value, spec, [...path, key], offset);
    });
  }

  #unknown(key: string, options: GroupOptions, path: OptionPath, offset: number): void {
    const full = [...path, key];
    const everywhere = flatOptions(this.#set).map((known) => known.key);
    const near = nearestWord(key, Object.keys(options));
    const hint =
      everywhere.find((known) => known.endsWith(`.${key}`)) ??
      (near === undefined ? nearestWord(full.join('.'), everywhere) : formatOptionPath([...path, near]));
    this.#problem(
      offset,
      `no such option: ${formatOptionPath(full)}${hint === undefined ? '' : `; did you mean ${hint}?`}`,
    );
  }

  #readSpec(node: unknown, spec: AnySpec, path: OptionPath, offset: number): void {
    if (spec.type === 'group') this.#readGroup(node, spec.options, path);
    else if (spec.type === 'named') this.#readNamed(node, spec, path);
    else this.#readLeaf(node, spec.type === 'list', path, offset);
  }

  #readNamed(node: unknown, spec: NamedSpec<GroupOptions>, path: OptionPath): void {
    this.#eachPair(node, path, (name, found, offset) => {
      if (!spec.namePattern.test(name)) {
        this.#problem(offset, `'${name}' cannot be a name in ${formatOptionPath(path)}; allowed: ${spec.nameAllowed}`);
        return;
      }
      const key = formatOptionPath(path);
      this.#names.set(key, [...(this.#names.get(key) ?? []), name]);
      const value = this.#resolved(found);
      if (isScalar(value) && value.value !== null) this.#readLeaf(value, false, [...path, name, spec.mainKey], offset);
      else this.#readGroup(value, spec.entry, [...path, name]);
    });
  }

  #readLeaf(found: unknown, isList: boolean, path: OptionPath, offset: number): void {
    const node = this.#resolved(found);
    const items: readonly unknown[] = isSeq(node) && isList ? node.items : [node];
    const texts = items.map((item) => scalarText(this.#resolved(item)));
    if (texts.every((text) => text !== undefined)) {
      const source = this.#source(offset);
      this.#entries.push({ path, texts, source, baseDirectory: dirname(this.#file) });
    } else {
      const expected = isList ? 'a value or a list of values' : 'one value';
      this.#problem(offset, `${formatOptionPath(path)} needs ${expected}`);
    }
  }
}

/** The text of a scalar as it was written: `0123` stays `0123`, `.inf` is `Infinity`. */
function scalarText(node: unknown): string | undefined {
  if (!isScalar(node) || node.value === null) return undefined;
  if (typeof node.value === 'string') return node.value;
  if (node.value === Infinity) return 'Infinity';
  // Numbers, booleans and dates: yaml keeps how they were written.
  return (node as Scalar & { source?: string }).source;
}

function offsetOf(node: unknown): number {
  const range: unknown = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : 0;
}
