/**
 * The record of what `mirror install` changed, so that `mirror remove` can restore it byte for byte. It is written before
 * the first file is touched: an installation that was cut off can be taken back as well.
 */
import { z } from 'zod';
import { nodeError } from '../errors.ts';
import { contentHash, type FileState, type RootedFiles } from './files.ts';
import { MIRROR_CLIENTS, type FileForm, type MirrorClient } from './plan.ts';
import type { MirrorScope } from './scope.ts';

const fileStateSchema = z.object({
  base64: z.base64(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  mode: z.number().int(),
  uid: z.number().int(),
  gid: z.number().int(),
});

const ledgerSchema = z.object({
  version: z.literal(1),
  client: z.enum(MIRROR_CLIENTS),
  url: z.string(),
  registries: z.array(z.string()),
  /** Folders that were made, the outermost first. */
  folders: z.array(z.string()),
  files: z.array(
    z.object({
      path: z.string(),
      form: z.enum(['marked-toml', 'daemon-json', 'own'] satisfies FileForm[]),
      /** Absent when there was no file. */
      original: fileStateSchema.optional(),
      installedSha256: z.string(),
    }),
  ),
});

/** What was changed for one client. */
export interface Ledger {
  readonly client: MirrorClient;
  readonly url: string;
  readonly registries: readonly string[];
  readonly folders: readonly string[];
  readonly files: readonly LedgerFile[];
}

/** One changed file. */
export interface LedgerFile {
  readonly path: string;
  readonly form: FileForm;
  /** `undefined` when there was no file. */
  readonly original: FileState | undefined;
  readonly installedSha256: string;
}

function ledgerPath(scope: MirrorScope, client: MirrorClient): string {
  return `${scope.ledgers}/${client}.json`;
}

/** The record for a client, or `undefined`. @throws {DockyardError} ERR_MIRROR_STATE, ERR_MIRROR_ACCESS */
export async function readLedger(
  files: RootedFiles,
  scope: MirrorScope,
  client: MirrorClient,
): Promise<Ledger | undefined> {
  const path = ledgerPath(scope, client);
  const text = await files.readText(path);
  if (text === undefined) return undefined;
  try {
    const { version: _, files: entries, ...rest } = ledgerSchema.parse(JSON.parse(text));
    return { ...rest, files: entries.map((entry) => ({ ...entry, original: restoreState(entry.original) })) };
  } catch (error) {
    throw nodeError('ERR_MIRROR_STATE', `${files.path(path)} is damaged`, { cause: error });
  }
}

/** Writes the record; its folder is there. */
export async function writeLedger(files: RootedFiles, scope: MirrorScope, ledger: Ledger): Promise<void> {
  const path = ledgerPath(scope, ledger.client);
  const entries = ledger.files.map((file) => ({ ...file, original: keepState(file.original) }));
  const bytes = Buffer.from(`${JSON.stringify({ version: 1, ...ledger, files: entries }, undefined, 2)}\n`);
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  // Originals may hold credentials (headers in hosts.toml): for the owner alone.
  await files.write(path, { bytes, mode: 0o600, uid, gid });
}

/** Removes the record. */
export function removeLedger(files: RootedFiles, scope: MirrorScope, client: MirrorClient): Promise<void> {
  return files.remove(ledgerPath(scope, client));
}

function keepState(state: FileState | undefined): z.infer<typeof fileStateSchema> | undefined {
  if (state === undefined) return undefined;
  const { bytes, mode, uid, gid } = state;
  return { base64: bytes.toString('base64'), sha256: contentHash(bytes), mode, uid, gid };
}

function restoreState(kept: z.infer<typeof fileStateSchema> | undefined): FileState | undefined {
  if (kept === undefined) return undefined;
  const bytes = Buffer.from(kept.base64, 'base64');
  if (contentHash(bytes) !== kept.sha256) throw new Error('the kept original does not have its own hash');
  return { bytes, mode: kept.mode, uid: kept.uid, gid: kept.gid };
}
