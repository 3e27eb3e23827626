/** A dockerd and a containerd of their own, on overlayfs as in production: the test fixtures copy every layer instead. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestContainerd } from '../support/containerd-process.ts';
import { endProcess, isInstalled, mustRun, run, until } from '../support/programs.ts';

/** Pulls images, and forgets them. */
export interface ImageClient extends AsyncDisposable {
  /** As a person would type it: `docker pull`. */
  readonly name: string;
  /** Pulls from the host of the reference, by plain HTTP. @throws {Error} when the pull fails */
  pull(reference: string): Promise<void>;
  /** Removes the image with its layers. */
  forget(reference: string): Promise<void>;
}

/** A client, or the reason why there is none on this machine. */
export interface ImageClientChoice {
  readonly name: string;
  readonly unmet: string | undefined;
  open(): Promise<ImageClient>;
}

/** All clients. */
export const IMAGE_CLIENTS: readonly ImageClientChoice[] = [
  { name: 'docker pull', unmet: unmetNeed(['dockerd', 'docker', 'containerd'], 'docker.io'), open: openDocker },
  { name: 'ctr images pull', unmet: unmetNeed(['containerd', 'ctr'], 'containerd'), open: openContainerd },
];

function unmetNeed(programs: readonly string[], debianPackage: string): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = programs.filter((program) => !isInstalled(program));
  return missing.length === 0 ? undefined : `${missing.join(' and ')} not installed: apt-get install ${debianPackage}`;
}

async function openContainerd(): Promise<ImageClient> {
  const containerd = await TestContainerd.open();
  return {
    name: 'ctr images pull',
    async pull(reference) {
      const options = ['--snapshotter', 'overlayfs', '--platform', 'linux/amd64', '--plain-http'];
      const { exitCode, output } = await containerd.ctr('images', 'pull', ...options, reference);
      if (exitCode !== 0) throw new Error(`ctr images pull ${reference}: ${output}`);
    },
    async forget() {
      await containerd.forgetAll();
      await until('containerd has let go of the layers', async () => {
        const { output } = await containerd.ctr('snapshots', '--snapshotter', 'overlayfs', 'ls');
        return output.trim().split('\n').length === 1;
      });
    },
    async [Symbol.asyncDispose]() {
      await containerd[Symbol.asyncDispose]();
    },
  };
}

async function openDocker(): Promise<ImageClient> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-bench-docker-'));
  const host = `unix://${folder}/docker.sock`;
  await writeFile(join(folder, 'daemon.json'), '{}');
  const args = [
    `--config-file=${folder}/daemon.json`,
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--storage-driver=overlay2',
    `--host=${host}`,
    `--data-root=${folder}/root`,
    `--exec-root=${folder}/exec`,
    `--pidfile=${folder}/docker.pid`,
  ];
  const dockerd = spawn('dockerd', args, { stdio: 'ignore' });
  const close = async (): Promise<void> => {
    await endProcess(dockerd);
    await rm(folder, { recursive: true, force: true });
  };
  const answers = async (): Promise<boolean> => {
    if (dockerd.exitCode !== null) throw new Error('dockerd ended at its start');
    return (await run('docker', ['--host', host, 'info'])).exitCode === 0;
  };
  try {
    await until('dockerd answers', answers, 30_000);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    name: 'docker pull',
    async pull(reference) {
      await mustRun('docker', ['--host', host, 'pull', '-q', reference]);
    },
    async forget(reference) {
      await mustRun('docker', ['--host', host, 'rmi', '-f', reference]);
    },
    [Symbol.asyncDispose]: close,
  };
}
