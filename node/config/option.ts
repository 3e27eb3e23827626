/**
 * What an option is, and the types that follow from a tree of options. The tree (schema.ts) is the only place that
 * knows names, defaults and bounds; types, validation, flags, variables and docs/CONFIGURATION.md come from it.
 */
import type { UnitSuffix, ValueKind } from './kinds.ts';

/** What defaults may depend on: facts of the machine, and options declared earlier. */
export interface DefaultContext {
  readonly facts: ProcessFacts;
  /** The value of an option declared earlier, by its dotted name. */
  earlier(key: string): unknown;
}

/** Facts of the process and its machine that defaults depend on; injected, so that tests do not depend on them. */
export interface ProcessFacts {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isRoot: boolean;
  readonly isTerminal: boolean;
  readonly homeDirectory: string;
  readonly workingDirectory: string;
  /** Size in bytes of the file system that holds, or will hold, `path`. */
  fileSystemSizeBytes(path: string): number;
  fileExists(path: string): boolean;
}

/** One option. */
export interface OptionSpec<Value, Suffix extends UnitSuffix> {
  readonly type: 'option';
  readonly kind: ValueKind<NonNullable<Value>, Suffix>;
  /** One sentence. */
  readonly summary: string;
  /** The default as people read it. */
  readonly defaultText: string;
  /** True when SIGHUP applies a changed value to the running node. */
  readonly reloadable: boolean;
  /** A password or a token: never shown, and not to be given as a flag that other users can see in the process list. */
  readonly secret: boolean;
  /** The flag without dashes where it is not the key with dashes for dots. */
  readonly flag?: string | undefined;
  /** Variables of other programs that give the value where nothing of ours does: `HTTPS_PROXY`. */
  readonly foreignVariables: readonly string[];
  defaultValue(context: DefaultContext): Value;
}

/** An option with several values: a list in YAML, a flag given several times, commas in a variable. */
export interface ListSpec<Value> {
  readonly type: 'list';
  readonly kind: ValueKind<Value, ''>;
  readonly summary: string;
  readonly defaultText: string;
  readonly reloadable: boolean;
  /** As of an option. */
  readonly secret: boolean;
  readonly flag?: string | undefined;
  defaultValue(context: DefaultContext): readonly Value[];
}

/** Options under names that the operator chooses: upstreams, webhook endpoints. */
export interface NamedSpec<Entry extends GroupOptions> {
  readonly type: 'named';
  readonly summary: string;
  readonly flag: string;
  /** The option of an entry that `NAME=VALUE`, or plain text in YAML, sets. */
  readonly mainKey: keyof Entry & string;
  readonly namePattern: RegExp;
  readonly nameAllowed: string;
  readonly entry: Entry;
  /** Names that are there without being given. */
  readonly builtIn: readonly string[];
  /** What is there when nothing is given, as people read it. */
  readonly defaultText: string;
}

/** Options under a common name. */
export interface GroupSpec<Options extends GroupOptions> {
  readonly type: 'group';
  readonly summary: string;
  readonly options: Options;
}

/** An option that has a value of its own: one or many. */
export type LeafSpec = OptionSpec<unknown, UnitSuffix> | ListSpec<unknown>;

/** What a tree may hold. The parameters are erased so that trees of different options have one type. */
export type AnySpec = LeafSpec | GroupSpec<GroupOptions> | NamedSpec<GroupOptions>;

/** The options of a tree or of a part of it, in the order in which their defaults are found. */
export interface GroupOptions {
  readonly [key: string]: AnySpec;
}

type ResolvedKey<Key, Spec> = Spec extends OptionSpec<unknown, infer Suffix> ? `${Key & string}${Suffix}` : Key;

type ResolvedValue<Spec> =
  Spec extends GroupSpec<infer Options>
    ? Resolved<Options>
    : Spec extends NamedSpec<infer Entry>
      ? readonly (Resolved<Entry> & { readonly name: string })[]
      : Spec extends ListSpec<infer Value>
        ? readonly Value[]
        : Spec extends OptionSpec<infer Value, UnitSuffix>
          ? Value
          : never;

/** The configuration that a tree of options describes, every value present; units are part of the names. */
export type Resolved<Options extends GroupOptions> = {
  readonly [Key in keyof Options as ResolvedKey<Key, Options[Key]>]: ResolvedValue<Options[Key]>;
};

interface OptionTexts {
  readonly summary: string;
  readonly flag?: string;
  readonly reloadable?: boolean;
  readonly secret?: boolean;
  readonly foreignVariables?: readonly string[];
}

/** An option with a fixed default. */
export function option<Value, Suffix extends UnitSuffix>(
  kind: ValueKind<Value, Suffix>,
  facts: OptionTexts & { readonly default: NoInfer<Value> },
): OptionSpec<Value, Suffix> {
  return {
    ...commonFacts(kind as ValueKind<NonNullable<Value>, Suffix>, facts, `\`${kind.format(facts.default)}\``),
    defaultValue: () => facts.default,
  };
}

/** An option whose default depends on the machine or on other options. */
export function optionFrom<Value, Suffix extends UnitSuffix>(
  kind: ValueKind<NonNullable<Value>, Suffix>,
  facts: OptionTexts & { readonly defaultText: string; readonly defaultFrom: (context: DefaultContext) => Value },
): OptionSpec<Value, Suffix> {
  return { ...commonFacts(kind, facts, facts.defaultText), defaultValue: facts.defaultFrom };
}

/** An option that may be left unset. */
export function optional<Value, Suffix extends UnitSuffix>(
  kind: ValueKind<Value, Suffix>,
  facts: OptionTexts & { readonly unset: string },
): OptionSpec<Value | undefined, Suffix> {
  return {
    ...commonFacts(kind as ValueKind<NonNullable<Value>, Suffix>, facts, facts.unset),
    defaultValue: () => undefined,
  };
}

function commonFacts<Value, Suffix extends UnitSuffix>(
  kind: ValueKind<NonNullable<Value>, Suffix>,
  facts: OptionTexts,
  defaultText: string,
): Omit<OptionSpec<Value, Suffix>, 'defaultValue'> {
  return {
    type: 'option',
    kind,
    summary: facts.summary,
    defaultText,
    reloadable: facts.reloadable ?? false,
    secret: facts.secret ?? false,
    flag: facts.flag,
    foreignVariables: facts.foreignVariables ?? [],
  };
}

/** An option with several values, none by default. */
export function list<Value>(
  kind: ValueKind<Value, ''>,
  facts: {
    readonly summary: string;
    readonly flag?: string;
    readonly reloadable?: boolean;
    readonly secret?: boolean;
  },
): ListSpec<Value> {
  return {
    type: 'list',
    kind,
    summary: facts.summary,
    defaultText: 'none',
    reloadable: facts.reloadable ?? false,
    secret: facts.secret ?? false,
    flag: facts.flag,
    defaultValue: () => [],
  };
}

/** Options under a common name. */
export function group<Options extends GroupOptions>(summary: string, options: Options): GroupSpec<Options> {
  return { type: 'group', summary, options };
}
