/** A machine made up for tests of the configuration. */
import type { ProcessFacts } from '../../../../node/config/option.ts';

/** Facts of an ordinary machine with a disk of 200 GiB. */
export function makeFacts(changes: Partial<ProcessFacts> = {}): ProcessFacts {
  return {
    environment: {},
    isRoot: false,
    isTerminal: false,
    homeDirectory: '/home/ada',
    workingDirectory: '/home/ada/work',
    fileSystemSizeBytes: () => 200 * 1024 ** 3,
    fileExists: () => false,
    ...changes,
  };
}
