/**
 * ORAS, the client for artifacts: files in a registry, and what is attached to them. scripts/test builds it where Go is at hand.
 * @see https://oras.land
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { requirement } from '../skip-reasons.ts';
import { mustRun } from './programs.ts';

/** The version that scripts/test builds. */
const VERSION = 'v1.2.3';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
const PROGRAM = process.env['TEST_ORAS'] ?? join(CACHE, 'dockyard', 'test-tools', `oras-${VERSION}`);

/** True when it can be run here; says what is missing otherwise. */
export function requireOras(): boolean {
  return requirement('oras', existsSync(PROGRAM), 'install Go; scripts/test builds oras with it');
}

/** Runs a command of it in a folder, which may hold a Docker configuration file, over plain HTTP. Answers what it wrote. @throws {Error} when it fails */
export async function oras(folder: string, ...args: readonly string[]): Promise<string> {
  return await mustRun('env', [`--chdir=${folder}`, PROGRAM, ...args, '--plain-http'], { DOCKER_CONFIG: folder });
}

/** What is attached to a manifest, as it finds it: digests and kinds. */
export async function orasDiscover(
  folder: string,
  reference: string,
): Promise<{ digest: string; artifactType: string }[]> {
  const found = JSON.parse(await oras(folder, 'discover', '--format', 'json', reference)) as {
    manifests: { digest: string; artifactType: string }[] | null;
  };
  return (found.manifests ?? []).map(({ digest, artifactType }) => ({ digest, artifactType }));
}
