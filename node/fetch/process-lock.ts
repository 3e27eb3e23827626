/**
 * A lock that a process holds by a file with its number. A process that was killed leaves the file behind; the number and the
 * time at which the process began tell that its holder is gone.
 */
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAbsentError, systemCode } from '../../src/content/errors.ts';

/** Tries against others that take and leave the lock at the same moment. */
const MAX_TRIES = 10;

/** Time for another process that takes the lock. */
const RETRY_MS = 20;

/** How long the writing of a number may take. */
const WRITING_TIMEOUT_MS = 5_000;

/** A lock that is held. */
export interface ProcessLock {
  release(): Promise<void>;
}

/** Takes the lock, or answers `undefined` when a living process holds it. @throws the error of the file system */
export async function takeProcessLock(path: string): Promise<ProcessLock | undefined> {
  const own = await describeProcess(process.pid);
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    if ((await create(path, own)) || (await takeOver(path, own))) {
      return { release: async () => await rm(path, { force: true }) };
    }
    const holder = await readFile(path, 'utf8').catch(ignoreAbsence);
    if (holder !== undefined && (await isHeld(path, holder))) return undefined;
    await delay(RETRY_MS);
  }
  return undefined;
}

async function create(path: string, content: string): Promise<boolean> {
  let file;
  try {
    file = await open(path, 'wx', 0o644);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    await file.writeFile(content);
  } finally {
    await file.close();
  }
  return true;
}

/** Replaces a lock whose holder is gone. A folder keeps others from the same in the meantime. */
async function takeOver(path: string, own: string): Promise<boolean> {
  const holder = await readFile(path, 'utf8').catch(ignoreAbsence);
  if (holder === undefined || (await isHeld(path, holder))) return false;
  const guard = `${path}.taking`;
  if (!(await makeGuard(guard))) return false;
  try {
    const found = await readFile(path, 'utf8').catch(ignoreAbsence);
    if (found === undefined || (await isHeld(path, found))) return false;
    const incoming = join(guard, 'lock');
    await writeFile(incoming, own);
    await rename(incoming, path);
    return true;
  } finally {
    await rm(guard, { recursive: true, force: true });
  }
}

/** One that a killed process left is taken away after a while, for the next try. */
async function makeGuard(guard: string): Promise<boolean> {
  try {
    await mkdir(guard);
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
  const found = await stat(guard).catch(ignoreAbsence);
  if (found !== undefined && Date.now() - found.mtimeMs > WRITING_TIMEOUT_MS) {
    await rm(guard, { recursive: true, force: true });
  }
  return false;
}

/** A file without a number is one that its holder is about to write, or was killed before it did. */
async function isHeld(path: string, holder: string): Promise<boolean> {
  if (holder !== '') return await isAlive(holder);
  const found = await stat(path).catch(ignoreAbsence);
  return found !== undefined && Date.now() - found.mtimeMs < WRITING_TIMEOUT_MS;
}

async function isAlive(holder: string): Promise<boolean> {
  const pid = Number(holder.split(' ')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemCode(error) !== 'EPERM') return false;
  }
  return (await describeProcess(pid)) === holder;
}

/** The number of a process and when it began; the latter where the system tells it as Linux does. */
async function describeProcess(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name, in parentheses, may hold spaces. Field 22 of proc(5) is the start, 20 fields after the name.
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  return `${pid} ${startTicks}`;
}

function ignoreAbsence(error: unknown): undefined {
  if (isAbsentError(error)) return undefined;
  throw error;
}
