/**
 * Loads the configuration: defaults < variables of other programs < file < our variables < flags. Everything that is
 * wrong is told at once, each with the place where it stands.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { asError } from '../../src/oci/error.ts';
import { nodeError } from '../errors.ts';
import { findContradictions } from './consistency.ts';
import { formatSource, type ConfigEntry, type ConfigProblem, type SourceReading, type ValueSource } from './entry.ts';
import { readFileText } from './file.ts';
import type { ProcessFacts } from './option.ts';
import { resolveTree } from './resolve.ts';
import type { NodeConfig } from './schema.ts';
import { readFlags, readForeignVariables, readVariables, type GivenFlag } from './texts.ts';
import { findTrackerContradictions, type TrackerOptions } from './tracker-schema.ts';
import { formatOptionPath, NODE_OPTIONS, TRACKER_OPTIONS, type OptionSet } from './tree.ts';

/** A configuration file is a few lines; what is larger is something else. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Where a configuration comes from. */
export interface ConfigInputs {
  readonly flags: readonly GivenFlag[];
  /** The file named by `--config`; the variable DOCKYARD_CONFIG counts where it is absent. */
  readonly file?: string | undefined;
  readonly facts: ProcessFacts;
}

/** A configuration, and the source of every value that is no default, by dotted name. */
export interface LoadedConfig<Config = NodeConfig> {
  readonly config: Config;
  readonly sources: ReadonlyMap<string, ValueSource>;
  /** The file that was read, absolute; `undefined` when there was none. */
  readonly file: string | undefined;
}

/** What must hold between the values of a configuration. */
type FindContradictions<Config> = (
  config: Config,
  sources: ReadonlyMap<string, ValueSource>,
) => readonly ConfigProblem[];

/**
 * Reads and checks all sources of a node's configuration.
 * @throws {DockyardError} ERR_CONFIG_INVALID, with a line for every problem; ERR_CONFIG_UNREADABLE
 */
export function loadConfig(inputs: ConfigInputs): LoadedConfig {
  return load(inputs, NODE_OPTIONS, findContradictions);
}

/** Reads and checks all sources of a tracker's configuration. @throws as `loadConfig` */
export function loadTrackerConfig(inputs: ConfigInputs): LoadedConfig<TrackerOptions> {
  return load(inputs, TRACKER_OPTIONS, findTrackerContradictions);
}

function load<Config>(
  inputs: ConfigInputs,
  set: OptionSet,
  contradictionsOf: FindContradictions<Config>,
): LoadedConfig<Config> {
  const { facts } = inputs;
  const file = inputs.file ?? (facts.environment[`${set.variablePrefix}CONFIG`] || undefined);
  const path = file === undefined ? undefined : resolve(facts.workingDirectory, file);
  const readings: readonly SourceReading[] = [
    readForeignVariables(facts.environment, facts.workingDirectory, set),
    ...(path === undefined ? [] : [readFileText(readText(path), path, set)]),
    readVariables(facts.environment, facts.workingDirectory, set),
    readFlags(inputs.flags, facts.workingDirectory, set),
  ];
  const entries = new Map<string, ConfigEntry>();
  for (const entry of readings.flatMap((reading) => reading.entries)) entries.set(formatOptionPath(entry.path), entry);
  const names = new Map<string, string[]>();
  // The source that counts most names its upstreams first, so that its first one is the default.
  for (const [key, given] of readings.toReversed().flatMap((reading) => [...reading.names])) {
    names.set(key, [...(names.get(key) ?? []), ...given]);
  }
  const tree = resolveTree([...entries.values()], names, facts, set.tree);
  refuse([...readings.flatMap((reading) => reading.problems), ...tree.problems]);
  // The tree was built from the schema that the type follows from, and no value is missing where there is no problem.
  const config = tree.values as unknown as Config;
  refuse(contradictionsOf(config, tree.sources));
  return { config, sources: tree.sources, file: path };
}

function refuse(problems: readonly ConfigProblem[]): void {
  if (problems.length === 0) return;
  throw nodeError(
    'ERR_CONFIG_INVALID',
    problems.map((problem) => `${formatSource(problem.source)}: ${problem.message}`).join('\n'),
    { details: { problems: problems.length } },
  );
}

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > MAX_FILE_BYTES)
      throw new RangeError(`it has ${bytes.length} bytes; at most ${MAX_FILE_BYTES} are read`);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw nodeError('ERR_CONFIG_UNREADABLE', `cannot read the configuration file ${path}: ${asError(error).message}`, {
      cause: error,
    });
  }
}
