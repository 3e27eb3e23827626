/** What is behind the failures of level and LevelDB, which say it in words more often than in codes. */
import { isNoSpaceError, systemCode } from './errors.ts';

/** The error of the operating system or of LevelDB beneath what level throws. */
export function innermost(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? innermost(error.cause) : error;
}

/** The disk, a quota or a limit on files left no room. */
export function isLevelOutOfSpace(error: unknown): boolean {
  const inner = innermost(error);
  return (
    isNoSpaceError(inner) ||
    (inner instanceof Error && /no space left|quota exceeded|file too large/i.test(inner.message))
  );
}

/** Another process has the database open. */
export function isLevelLocked(error: unknown): boolean {
  return systemCode(innermost(error)) === 'LEVEL_LOCKED';
}

/** What LevelDB says when the machine, not the database, is at fault. */
const ENVIRONMENT_FAULT =
  /permission denied|not permitted|read-only|too many open files|input\/output error|not a directory|cannot allocate/i;

/**
 * Damage has too many faces to list them: a bad CURRENT file alone may end as a corruption, a missing file, or a name that is
 * too long. So all that the lock, the lack of room, or the machine does not explain counts as damage.
 */
export function isLevelDamage(error: unknown): boolean {
  const inner = innermost(error);
  if (isLevelLocked(error) || isLevelOutOfSpace(error)) return false;
  return inner instanceof Error && !ENVIRONMENT_FAULT.test(inner.message);
}
