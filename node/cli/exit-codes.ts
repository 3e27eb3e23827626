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
  /** What was asked for is not there, or may not be read. */
  absent: 4,
  /** What came is not what it should be: a wrong digest, a bad signature, a malformed torrent. */
  mismatch: 5,
  /** It could not be had now: a registry or all peers are out of reach. The same command may succeed later. */
  unavailable: 6,
  /** Ended by SIGINT or SIGTERM, as shells tell of the former. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** For `dockyard --help`. */
export const EXIT_CODES_HELP = `
Exit codes:
  0  done, and nothing wrong was found
  1  failed, or something wrong was found
  2  the command line or the configuration is wrong
  3  no node answers at the admin address
  4  what was to be fetched is not there, or may not be read
  5  what came is not what it should be; it was thrown away
  6  it cannot be had now; the same command may succeed later
  130  interrupted

First steps: \`dockyard node\` in one terminal; in another
\`docker pull 127.0.0.1:5000/library/alpine\` and \`dockyard status\`.`;
