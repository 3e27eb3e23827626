/** Installs and removes mirrors: plan, record, then change; and back. */
import { dirname } from 'node:path';
import { nodeError } from '../errors.ts';
import { ALL_REGISTRIES, planContainerd } from './containerd.ts';
import { planDocker } from './docker.ts';
import { contentHash, RootedFiles, type FileState } from './files.ts';
import { readLedger, removeLedger, writeLedger, type Ledger, type LedgerFile } from './ledger.ts';
import {
  MIRROR_CLIENTS,
  withoutOurPart,
  type FileEdit,
  type MirrorClient,
  type MirrorPlan,
  type MirrorRequest,
} from './plan.ts';
import { planPodman } from './podman.ts';
import { SYSTEM_SCOPE, type MirrorScope } from './scope.ts';

/** What was done, for people. */
export interface MirrorOutcome {
  readonly client: MirrorClient;
  /** Paths, as this process sees them. */
  readonly changed: readonly string[];
  readonly unchanged: readonly string[];
  readonly notes: readonly string[];
}

type Planner = (files: RootedFiles, request: MirrorRequest, scope: MirrorScope) => Promise<MirrorPlan>;

const PLANNERS: Readonly<Record<MirrorClient, Planner>> = {
  containerd: planContainerd,
  docker: planDocker,
  podman: planPodman,
};

/** What is meant when no registry is named: all, where the client can express that. */
const DEFAULT_REGISTRIES: Readonly<Record<MirrorClient, readonly string[]>> = {
  containerd: [ALL_REGISTRIES],
  docker: [ALL_REGISTRIES],
  podman: ['docker.io'],
};

/** Names become folders, so nothing but hosts is let through. */
function checkRegistry(client: MirrorClient, registry: string): void {
  if (/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/.test(registry)) return;
  if (registry === ALL_REGISTRIES && client !== 'podman') return;
  throw nodeError(
    'ERR_USAGE',
    `'${registry}' is not a registry; allowed: its host, such as docker.io or registry.lan:5000`,
  );
}

/** A file as it is, and as it is to be. */
interface Change {
  readonly entry: LedgerFile;
  readonly current: FileState | undefined;
  readonly next: FileState;
}

/**
 * Points a client at the node. Doing it again changes nothing; registries given later come in addition.
 * @throws {DockyardError} ERR_MIRROR_UNEDITABLE, ERR_MIRROR_ACCESS, ERR_MIRROR_STATE; no file is changed then but by ACCESS
 */
export async function installMirror(
  client: MirrorClient,
  root: string,
  request: MirrorRequest,
  scope: MirrorScope = SYSTEM_SCOPE,
): Promise<MirrorOutcome> {
  const files = new RootedFiles(root);
  const ledger = await readLedger(files, scope, client);
  const requested = request.registries.length === 0 ? DEFAULT_REGISTRIES[client] : request.registries;
  for (const registry of requested) checkRegistry(client, registry);
  const registries = [...new Set([...(ledger?.registries ?? []), ...requested])];
  const plan = await PLANNERS[client](files, { ...request, registries }, scope);
  const changes = await Promise.all(plan.edits.map((edit) => planChange(files, edit, ledger)));
  const kept = (ledger?.files ?? []).filter((file) => !plan.edits.some((edit) => edit.path === file.path));
  await record(files, scope, plan, [...kept, ...changes.map(({ entry }) => entry)]);
  const changed: string[] = [];
  for (const { entry, current, next } of changes) {
    if (current?.bytes.equals(next.bytes) === true) continue;
    await files.write(entry.path, next);
    changed.push(entry.path);
  }
  const unchanged = changes.map(({ entry }) => entry.path).filter((path) => !changed.includes(path));
  return {
    client,
    changed: changed.map((path) => files.path(path)),
    unchanged: unchanged.map((path) => files.path(path)),
    notes: plan.notes,
  };
}

async function planChange(files: RootedFiles, edit: FileEdit, ledger: Ledger | undefined): Promise<Change> {
  const current = await files.read(edit.path);
  const known = ledger?.files.find((file) => file.path === edit.path);
  const original = known === undefined ? current : originalOf(known, current, ledger?.url ?? '');
  const text = edit.apply(original?.bytes.toString('utf8'));
  const owner = original ?? { mode: 0o644, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const next: FileState = { bytes: Buffer.from(text), mode: owner.mode, uid: owner.uid, gid: owner.gid };
  const entry = { path: edit.path, form: edit.form, original, installedSha256: contentHash(next.bytes) };
  return { entry, current, next };
}

/** What a file was before our part came in; where others have changed it since, their changes count as original. */
function originalOf(known: LedgerFile, current: FileState | undefined, url: string): FileState | undefined {
  if (current === undefined) return undefined;
  if (contentHash(current.bytes) === known.installedSha256) return known.original;
  const left = withoutOurPart(known.form, current.bytes.toString('utf8'), known.path, url);
  return left === undefined ? undefined : { ...current, bytes: Buffer.from(left) };
}

/** Makes the folders that are needed, and records everything before the first file is touched. */
async function record(
  files: RootedFiles,
  scope: MirrorScope,
  plan: MirrorPlan,
  entries: readonly LedgerFile[],
): Promise<void> {
  const needed = [scope.ledgers, ...plan.edits.map(({ path }) => dirname(path))];
  // What was made for another client and is needed for this one is in both records: whichever is removed last takes it away.
  const isNeeded = (folder: string): boolean => needed.some((path) => `${path}/`.startsWith(`${folder}/`));
  const folders = new Set<string>();
  for (const client of MIRROR_CLIENTS) {
    // A damaged record of another client is that client's matter.
    const ledger = await readLedger(files, scope, client).catch(() => undefined);
    const known = ledger?.folders ?? [];
    for (const folder of known) if (client === plan.client || isNeeded(folder)) folders.add(folder);
  }
  for (const folder of needed) for (const made of await files.makeFolders(folder)) folders.add(made);
  const { client, url, registries } = plan;
  const inOrder = entries.toSorted((left, right) => (left.path < right.path ? -1 : 1));
  await writeLedger(files, scope, { client, url, registries, folders: [...folders], files: inOrder });
}

/**
 * Takes the node out of a client's configuration: every file gets back the bytes that it had, or goes if there was none.
 * @param options.force where others have changed a file since, take out our part and keep their changes
 * @returns `undefined` when nothing was installed
 * @throws {DockyardError} ERR_MIRROR_CHANGED (nothing is changed then), ERR_MIRROR_ACCESS, ERR_MIRROR_STATE
 */
export async function removeMirror(
  client: MirrorClient,
  root: string,
  options: { readonly force: boolean },
  scope: MirrorScope = SYSTEM_SCOPE,
): Promise<MirrorOutcome | undefined> {
  const files = new RootedFiles(root);
  const ledger = await readLedger(files, scope, client);
  if (ledger === undefined) return undefined;
  const restorations = await Promise.all(ledger.files.map((file) => planRestoration(files, file, ledger.url)));
  const foreign = restorations.filter(({ isForeign }) => isForeign).map(({ path }) => files.path(path));
  if (foreign.length > 0 && !options.force) {
    throw nodeError('ERR_MIRROR_CHANGED', `changed by someone else since: ${foreign.join(', ')}; nothing was removed`);
  }
  const changed: string[] = [];
  for (const { path, current, next } of restorations) {
    if (isSameState(current, next)) continue;
    if (next === undefined) await files.remove(path);
    else await files.write(path, next);
    changed.push(files.path(path));
  }
  await removeLedger(files, scope, client);
  // What stands inside of another is longer, and goes first.
  const innermostFirst = ledger.folders.toSorted((left, right) => right.length - left.length);
  for (const folder of innermostFirst) await files.removeEmptyFolder(folder);
  const notes =
    foreign.length === 0
      ? []
      : [`Only our lines were taken out of files that others had changed: ${foreign.join(', ')}`];
  if (changed.includes(files.path(scope.containerdConfig)))
    notes.push(`Restart containerd, because config_path is read at its start only: ${scope.restartContainerd}`);
  if (changed.includes(files.path(scope.dockerConfig)))
    notes.push(`Reload dockerd, so that it forgets the mirror: ${scope.reloadDocker}`);
  return { client, changed, unchanged: [], notes };
}

interface Restoration {
  readonly path: string;
  readonly current: FileState | undefined;
  readonly next: FileState | undefined;
  readonly isForeign: boolean;
}

async function planRestoration(files: RootedFiles, file: LedgerFile, url: string): Promise<Restoration> {
  const { path, original } = file;
  const current = await files.read(path);
  if (isSameState(current, original)) return { path, current, next: current, isForeign: false };
  // Deleted by someone: it stays deleted.
  if (current === undefined) return { path, current, next: undefined, isForeign: original !== undefined };
  if (contentHash(current.bytes) === file.installedSha256) return { path, current, next: original, isForeign: false };
  const left = withoutOurPart(file.form, current.bytes.toString('utf8'), path, url);
  return {
    path,
    current,
    next: left === undefined ? undefined : { ...current, bytes: Buffer.from(left) },
    isForeign: true,
  };
}

function isSameState(left: FileState | undefined, right: FileState | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return left.bytes.equals(right.bytes) && left.mode === right.mode;
}
