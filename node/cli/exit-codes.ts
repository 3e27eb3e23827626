/** What the exit code of a command says. They are part of the interface: scripts rely on them. */
export const EXIT = {
  /** Done; nothing wrong was found. */
  ok: 0,
  /** Failed, or found something wrong: a damaged blob, a failed check. */
  failed: 1,
  /** The command line or the configuration is wrong; nothing was done. */
  usage: 2,
  /** No node answers at the admin address. */
  unreachable: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** For `dockyard --help`. */
export const EXIT_CODES_HELP = `
Exit codes:
  0  done, and nothing wrong was found
  1  failed, or something wrong was found
  2  the command line or the configuration is wrong
  3  no node answers at the admin address

First steps: \`dockyard node\` in one terminal; in another
\`docker pull 127.0.0.1:5000/library/alpine\` and \`dockyard status\`.`;
