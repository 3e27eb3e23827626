/** docs/CONFIGURATION.md, written from the schema. write-document.ts puts it in place; a test compares it. */
import type { GroupOptions, LeafSpec, NamedSpec } from './option.ts';
import { CONFIG_TREE, flatOptions, type FlatOption } from './tree.ts';

const INTRODUCTION = `# Configuration

<!-- Written from node/config/schema.ts by \`node node/config/write-document.ts\`; do not edit. -->

A node needs no configuration. What you set comes from four places; a later one wins:
defaults, the YAML file named by \`--config FILE\` (or \`DOCKYARD_CONFIG\`), environment variables, flags.
\`dockyard config check\` takes the same flags, says what is wrong and where, and prints what a node would use.

- Unknown keys, variables beginning with \`DOCKYARD_\`, and flags are errors that name the nearest known one. (The variables that
  Kubernetes makes for a service called \`dockyard\` are passed over.)
- An empty variable counts as unset. Lists are YAML lists, flags given several times, or variables with commas.
- Durations: \`500ms\`, \`30s\`, \`1m30s\`, \`2h\`. Sizes: \`512MiB\`, \`10GiB\`, \`500MB\`; a bare number is bytes. Rates: \`100MiB/s\`, \`200mbit\`.
  \`0\` and \`Infinity\` are values like others: a rate of 0 sends nothing, \`Infinity\` sets no limit.
- Relative paths start at the folder of the file that names them, or at the working directory; \`~/\` is the home folder.
- Options marked ↻ are applied to a running node by \`SIGHUP\`. A change of any other is named in the log and waits for a restart; when
  the new configuration is wrong, the old one stays.

\`\`\`yaml
listen: 127.0.0.1:5000
swarm:
  key: /etc/dockyard/swarm.key
  bootstrap: [node-1.lan:5002, node-2.lan:5002]
upstreams:
  docker.io:
    username: reader
    passwordFile: /etc/dockyard/docker-hub-password
  ghcr.io: https://ghcr.io
  registry.lan:5000: http://registry.lan:5000
store:
  maxSize: 100GiB
\`\`\`
`;

/** The whole document. */
export function renderConfigurationDoc(tree: GroupOptions = CONFIG_TREE): string {
  const flat = flatOptions(tree);
  const top = flat.filter((found) => found.path.length === 1 && found.spec.type !== 'named');
  const sections = [INTRODUCTION, '## The node\n', ...top.map(renderFlat)];
  for (const [name, spec] of Object.entries(tree)) {
    if (spec.type === 'group') {
      const members = flat.filter((found) => found.path.length > 1 && found.path[0] === name);
      sections.push(`## ${name}\n`, `${spec.summary}\n`, ...members.map(renderFlat));
    } else if (spec.type === 'named') {
      sections.push(renderNamed(name, spec, flat));
    }
  }
  return `${sections.join('\n').trimEnd()}\n`;
}

function renderFlat(found: FlatOption): string {
  if (found.spec.type === 'named') return '';
  const repeated = found.repeatable ? ', repeatable' : '';
  const facts = [`flag \`--${found.flag} ${found.spec.kind.placeholder}\`${repeated}`, `variable \`${found.variable}\``];
  return renderOption(found.key, found.spec, facts);
}

function renderOption(key: string, spec: LeafSpec, places: readonly string[]): string {
  const lines = [
    `### \`${key}\`${spec.reloadable ? ' ↻' : ''}\n`,
    `${spec.summary}\n`,
    `- Default: ${spec.defaultText}`,
    `- Allowed: ${spec.type === 'list' ? 'a list; each ' : ''}${spec.kind.allowed}`,
    ...(places.length === 0 ? [] : [`- Also: ${places.join('; ')}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function renderNamed(name: string, spec: NamedSpec<GroupOptions>, flat: readonly FlatOption[]): string {
  const variable = flat.find((found) => found.key === name)?.variable ?? '';
  const lines = [
    `## ${name}\n`,
    `${spec.summary}\n`,
    `A map from a name to the options below. The name is ${spec.nameAllowed}.`,
    `Plain text in place of the options is the \`${spec.mainKey}\`. Built in: ${spec.builtIn.map((known) => `\`${known}\``).join(', ')}.`,
    `Flag \`--${spec.flag} NAME=URL\`, repeatable; variable \`${variable}=NAME=URL,…\`. NAME alone takes the default URL.\n`,
  ];
  const options = Object.entries(spec.entry).map(([key, leaf]) =>
    leaf.type === 'option' || leaf.type === 'list' ? renderOption(`${name}.NAME.${key}`, leaf, []) : '',
  );
  return [...lines, ...options].join('\n');
}
