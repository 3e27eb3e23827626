/** Reads options from flags and environment variables: texts by name. */
import { flatOptions, NODE_OPTIONS, type FlatOption, type OptionSet } from './tree.ts';
import { nearestWord } from './nearest.ts';
import type { ConfigEntry, ConfigProblem, SourceReading, ValueSource } from './entry.ts';

/** A flag as it stood on the command line; several occurrences in order. */
export interface GivenFlag {
  /** Without dashes. */
  readonly flag: string;
  readonly values: readonly string[];
}

/** Variables that begin like ours and are not options. */
const OTHER_VARIABLES = new Set(['DOCKYARD_CONFIG', 'DOCKYARD_ADMIN_URL', 'DOCKYARD_DEBUG', 'DOCKYARD_TRACKER_CONFIG']);

/**
 * Kubernetes tells each container of every service in variables named after it; a service called `dockyard` or
 * `dockyard-admin` makes these.
 * @see https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
const KUBERNETES_VARIABLE =
  /^DOCKYARD_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/;

/** Reads the options among the flags. Other flags are not ours to judge: the command line parser knows them. */
export function readFlags(
  flags: readonly GivenFlag[],
  baseDirectory: string,
  set: OptionSet = NODE_OPTIONS,
): SourceReading {
  const byFlag = new Map(flatOptions(set).map((found) => [found.flag, found]));
  const reading = new ReadingBuilder(baseDirectory);
  for (const { flag, values } of flags) {
    const found = byFlag.get(flag);
    if (found !== undefined) reading.add(found, values, { kind: 'flag', flag });
  }
  return reading.done();
}

/** Reads our variables. An empty one counts as unset, as it is usual for variables. */
export function readVariables(
  environment: Readonly<Record<string, string | undefined>>,
  baseDirectory: string,
  set: OptionSet = NODE_OPTIONS,
): SourceReading {
  const options = flatOptions(set);
  const byVariable = new Map(options.map((found) => [found.variable, found]));
  const reading = new ReadingBuilder(baseDirectory);
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(set.variablePrefix) || value === undefined || value === '') continue;
    if (set.otherPrefix !== undefined && name.startsWith(set.otherPrefix)) continue;
    const found = byVariable.get(name);
    const source: ValueSource = { kind: 'variable', name };
    if (found !== undefined) reading.add(found, found.repeatable ? splitList(value) : [value], source);
    else if (!OTHER_VARIABLES.has(name) && !KUBERNETES_VARIABLE.test(name)) {
      const nearest = nearestWord(name, [...byVariable.keys()]);
      reading.problem(source, `no such option${nearest === undefined ? '' : `; did you mean ${nearest}?`}`);
    }
  }
  return reading.done();
}

/** Reads the variables of other programs that stand in for options; they count less than everything of ours. */
export function readForeignVariables(
  environment: Readonly<Record<string, string | undefined>>,
  baseDirectory: string,
  set: OptionSet = NODE_OPTIONS,
): SourceReading {
  const reading = new ReadingBuilder(baseDirectory);
  for (const found of flatOptions(set)) {
    if (found.spec.type !== 'option') continue;
    const name = found.spec.foreignVariables.find((variable) => (environment[variable] ?? '') !== '');
    if (name !== undefined) reading.add(found, [environment[name] ?? ''], { kind: 'variable', name });
  }
  return reading.done();
}

function splitList(value: string): string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** A URL alone was meant for the registry at its host. */
function nameHint(text: string): string {
  const { host, password } = URL.canParse(text) ? new URL(text) : { host: '', password: '' };
  return host === '' || password !== '' ? '' : `; did you mean ${host}=${text}?`;
}

class ReadingBuilder {
  readonly #entries: ConfigEntry[] = [];
  readonly #problems: ConfigProblem[] = [];
  readonly #names = new Map<string, string[]>();
  readonly #baseDirectory: string;

  constructor(baseDirectory: string) {
    this.#baseDirectory = baseDirectory;
  }

  problem(source: ValueSource, message: string): void {
    this.#problems.push({ source, message });
  }

  add(found: FlatOption, texts: readonly string[], source: ValueSource): void {
    if (found.spec.type === 'named') for (const text of texts) this.#addNamed(found, text, source);
    else this.#entries.push({ path: found.path, texts, source, baseDirectory: this.#baseDirectory });
  }

  /** `NAME=VALUE`; NAME alone takes the default of its main option. */
  #addNamed(found: FlatOption, text: string, source: ValueSource): void {
    if (found.spec.type !== 'named') return;
    const [name = '', ...rest] = text.split('=');
    if (!found.spec.namePattern.test(name)) {
      this.problem(source, `'${text}' is not NAME=URL; allowed as NAME: ${found.spec.nameAllowed}${nameHint(text)}`);
      return;
    }
    const names = this.#names.get(found.key) ?? [];
    if (names.includes(name)) {
      this.problem(source, `'${name}' is given twice; one URL belongs to each name`);
      return;
    }
    this.#names.set(found.key, [...names, name]);
    if (rest.length === 0) return;
    const path = [...found.path, name, found.spec.mainKey];
    this.#entries.push({ path, texts: [rest.join('=')], source, baseDirectory: this.#baseDirectory });
  }

  done(): SourceReading {
    return { entries: this.#entries, problems: this.#problems, names: this.#names };
  }
}
