/** The codes of the node process: configuration, commands, client configuration files. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../src/oci/error.ts';

export { FETCH_ERRORS } from './fetch/errors.ts';

/** Errors that a person at the command line meets. */
export const NODE_ERRORS = {
  ERR_CONFIG_INVALID: {
    meaning: 'A configuration file, variable or flag has an unknown key or a value that is not allowed.',
    remedy: 'Correct what the message names; `docs/CONFIGURATION.md` lists every option with what it allows.',
  },
  ERR_CONFIG_UNREADABLE: {
    meaning: 'A file that the configuration names cannot be read.',
    remedy: 'Check the path and that the user of the node may read the file.',
  },
  ERR_LISTEN_FAILED: {
    meaning: 'An address cannot be listened on.',
    remedy: 'Stop what listens there, or choose another address; ports below 1024 need privileges.',
  },
  ERR_ADMIN_UNREACHABLE: {
    meaning: 'No node answers at the admin address.',
    remedy: 'Start a node (`dockyard node`), or name its admin address with `--admin URL`.',
  },
  ERR_ADMIN_ANSWER: {
    meaning: 'What answers at the admin address is not a node of this version, or it refused the request.',
    remedy:
      'The message has the reason that the node gave; without one, check the address given with `--admin`, and that the command and the node are of the same version.',
  },
  ERR_USAGE: {
    meaning: 'The command line asks for something that does not go together.',
    remedy: 'The command with `--help` shows what it takes.',
  },
  ERR_DATA_ABSENT: {
    meaning: 'A folder that was named as the data folder of a node is none.',
    remedy: 'Name the folder given to the node as `--data`; `dockyard config check` shows which one a node would use.',
  },
  ERR_DOCTOR_ECHO: {
    meaning: 'A test blob that the doctor sent to a peer came back changed, or not at all.',
    remedy: 'Check that both nodes are of the same version, and the memory and network of both machines.',
  },
  ERR_MIRROR_UNEDITABLE: {
    meaning:
      "A client's configuration file is not valid, or has a form that cannot be extended without changing its meaning.",
    remedy: 'Correct the file, or add the mirror by hand as the message shows.',
  },
  ERR_MIRROR_CHANGED: {
    meaning: 'A file written by `mirror install` was changed by someone else since.',
    remedy: 'Look at the file; with `--force` only what Dockyard put there is taken out, and the other changes stay.',
  },
  ERR_MIRROR_ACCESS: {
    meaning: "A client's configuration file cannot be read or written.",
    remedy: 'Run the command as root, or with `--user` for clients that run without root.',
  },
  ERR_MIRROR_STATE: {
    meaning: 'The record of what `mirror install` changed is damaged.',
    remedy: "Take Dockyard's lines out of the client's files by hand, then delete the record that the message names.",
  },
} as const satisfies Record<string, ErrorDescription>;

export type NodeErrorCode = keyof typeof NODE_ERRORS;

/** Makes an error of this layer. */
export function nodeError(
  code: NodeErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<NodeErrorCode> {
  return new DockyardError(code, message, options);
}
