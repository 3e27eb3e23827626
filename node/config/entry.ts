/** What stands in a source before it is checked: texts, and where each came from. */
import type { OptionPath } from './tree.ts';

/** Where a value came from. */
export type ValueSource =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly file: string; readonly line: number }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'flag'; readonly flag: string };

/** The text of one option in one source. */
export interface ConfigEntry {
  readonly path: OptionPath;
  readonly texts: readonly string[];
  readonly source: ValueSource;
  /** Where relative paths start. */
  readonly baseDirectory: string;
}

/** Something wrong in a source. */
export interface ConfigProblem {
  readonly source: ValueSource;
  /** What is wrong and what is allowed; no secret values. */
  readonly message: string;
}

/** What was read from one source. */
export interface SourceReading {
  readonly entries: readonly ConfigEntry[];
  readonly problems: readonly ConfigProblem[];
  /** Names that the operator chose, by the key of their map (`upstreams`), in the order in which they stand in the source. */
  readonly names: ReadonlyMap<string, readonly string[]>;
}

/** The source as it stands in front of a message: `dockyard.yaml:3`, `DOCKYARD_LISTEN`, `--listen`. */
export function formatSource(source: ValueSource): string {
  switch (source.kind) {
    case 'default':
      return 'default';
    case 'file':
      return `${source.file}:${source.line}`;
    case 'variable':
      return source.name;
    case 'flag':
      return `--${source.flag}`;
  }
}
