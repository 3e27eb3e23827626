/** What pointing a client at the node means: which files change, how, and what a person has to do besides. */
import { removeRegistryMirror } from './daemon-json.ts';
import { withoutMarkedBlocks } from './toml-edit.ts';

/** The clients whose configuration can be written. */
export const MIRROR_CLIENTS = ['containerd', 'docker', 'podman'] as const;

export type MirrorClient = (typeof MIRROR_CLIENTS)[number];

/** What a person asks for. */
export interface MirrorRequest {
  /** The node's registry: `http://127.0.0.1:5000`. */
  readonly url: string;
  /** Registries to put the node in front of; empty for the default of the client. */
  readonly registries: readonly string[];
  /** Also set containerd's `config_path` where it is not set. */
  readonly setConfigPath: boolean;
}

/** Said of daemons that users run: rootlesskit cuts them off from the host's loopback unless told otherwise. */
export const ROOTLESS_LOOPBACK_NOTE =
  'A daemon that runs without root in a network of its own cannot reach 127.0.0.1 of the host, and then pulls past the node; ' +
  'docs/OPERATIONS.md, "Rootless clients", says what to set.';

/** How our part can be told from the rest of a file. */
export type FileForm = 'marked-toml' | 'daemon-json' | 'own';

/** One file to change. */
export interface FileEdit {
  readonly path: string;
  readonly form: FileForm;
  /** From the text without our part (`undefined`: no file) to the text with it. @throws {DockyardError} ERR_MIRROR_UNEDITABLE */
  readonly apply: (text: string | undefined) => string;
}

/** All changes for a client. */
export interface MirrorPlan {
  readonly client: MirrorClient;
  readonly url: string;
  readonly registries: readonly string[];
  readonly edits: readonly FileEdit[];
  /** What to know or to do afterwards, a sentence each. */
  readonly notes: readonly string[];
}

/** The text without our part, for files that others have changed since; `undefined` when nothing is left of it. */
export function withoutOurPart(form: FileForm, text: string, path: string, url: string): string | undefined {
  if (form === 'own') return undefined;
  const left = form === 'daemon-json' ? removeRegistryMirror(text, path, url) : withoutMarkedBlocks(text);
  return left.trim() === '' || (form === 'daemon-json' && /^\s*\{\s*\}\s*$/.test(left)) ? undefined : left;
}
