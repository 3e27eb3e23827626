/** The flags of `dockyard node` and `dockyard tracker`, from their configuration schemas, and what was given of them. */
import { Option, type Command } from 'commander';
import { loadConfig, loadTrackerConfig, type ConfigInputs, type LoadedConfig } from '../config/load.ts';
import type { ProcessFacts } from '../config/option.ts';
import type { GivenFlag } from '../config/texts.ts';
import type { TrackerOptions } from '../config/tracker-schema.ts';
import { flatOptions, NODE_OPTIONS, TRACKER_OPTIONS, type OptionPath, type OptionSet } from '../config/tree.ts';

/**
 * Adds a flag for every option of a schema, a node's unless told, and `--config`.
 * @param isWanted which options; all when left out
 */
export function addNodeFlags(
  command: Command,
  set: OptionSet = NODE_OPTIONS,
  isWanted: (path: OptionPath) => boolean = () => true,
): Command {
  command.option('--config <FILE>', 'a YAML file with any of the options below (docs/CONFIGURATION.md)');
  for (const found of flatOptions(set).filter(({ path }) => isWanted(path))) {
    const { spec } = found;
    const placeholder = spec.type === 'named' ? 'NAME=URL' : spec.kind.placeholder;
    const defaultText = spec.defaultText.replaceAll('`', '');
    const isToggle = placeholder === 'true|false';
    const option = new Option(
      `--${found.flag} ${isToggle ? `[${placeholder}]` : `<${placeholder}>`}`,
      `${spec.summary} Default: ${defaultText}.`,
    );
    if (isToggle) option.preset('true');
    option.helpGroup(groupTitle(found.path));
    option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
    command.addOption(option);
  }
  return command;
}

/** `Transfer:` for `transfer.uploadSlots`; options at the top and `--config` stand under `Options:`. */
function groupTitle(path: OptionPath): string {
  const [first = ''] = path;
  return path.length === 1 && first !== 'upstreams' ? 'Options:' : `${first[0]?.toUpperCase()}${first.slice(1)}:`;
}

/** Loads the configuration that a command with these flags was given. @throws {DockyardError} ERR_CONFIG_INVALID, ERR_CONFIG_UNREADABLE */
export function loadGivenConfig(command: Command, facts: ProcessFacts): LoadedConfig {
  return loadConfig(givenInputs(command, NODE_OPTIONS, facts));
}

/** Likewise for a tracker. @throws as `loadGivenConfig` */
export function loadGivenTrackerConfig(command: Command, facts: ProcessFacts): LoadedConfig<TrackerOptions> {
  return loadTrackerConfig(givenInputs(command, TRACKER_OPTIONS, facts));
}

function givenInputs(command: Command, set: OptionSet, facts: ProcessFacts): ConfigInputs {
  const given = command.opts<Record<string, unknown>>();
  const flags: GivenFlag[] = [];
  for (const { flag } of flatOptions(set)) {
    const values = given[attributeOf(flag)];
    if (Array.isArray(values)) flags.push({ flag, values: values.map(String) });
  }
  const file = given['config'];
  return { flags, file: typeof file === 'string' ? file : undefined, facts };
}

/** The name under which commander keeps the value of a flag. */
function attributeOf(flag: string): string {
  return new Option(`--${flag} <X>`).attributeName();
}
