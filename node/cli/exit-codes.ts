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
Exit codes: 0 done; 1 failed, or something wrong was found; 2 wrong command line or configuration; 3 no node answers.`;
