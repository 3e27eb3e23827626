/**
 * One run of a crowd: real nodes, each on a host of its own behind a shaped link, and a real registry behind a link
 * of the same rate. All nodes want the same blob at once, and nobody has it.
 */
import type { ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN, NODE_FLAGS } from '../support/node-process.ts';
import { NetworkLab, processUsage, type LabHost } from '../support/network-lab.ts';

/** What is measured. */
export interface CrowdOptions {
  readonly mode: 'flash-crowd' | 'direct' | 'warm';
  readonly nodes: number;
  readonly rateBits: number;
  readonly blobBytes: number;
}

/** What one run gave. */
export interface CrowdResult {
  readonly options: CrowdOptions;
  readonly boundSeconds: number;
  readonly lastSeconds: number;
  readonly medianSeconds: number;
  /** Last node done over size ÷ rate. */
  readonly timeRatio: number;
  /** Bytes that left the origin's link over the blob's size. */
  readonly originRatio: number;
  readonly cpuSecondsPerGB: number;
  readonly peakMiB: number;
  readonly seconds: readonly number[];
  readonly longestSilenceSeconds: number;
}

interface LabNode {
  readonly host: LabHost;
  readonly child: ChildProcess;
  readonly folder: string;
}

const NAME = 'bench.local';
const REPOSITORY = 'team/app';

/** Runs one crowd. */
export async function runCrowd(options: CrowdOptions, log: (line: string) => void): Promise<CrowdResult> {
  const folder = await mkdtemp(join(tmpdir(), 'dockyard-crowd-'));
  await using lab = await NetworkLab.open();
  try {
    const shape = { rateBits: options.rateBits };
    const originHost = await lab.addHost('origin', shape);
    const origin = await startOrigin(lab, originHost, folder);
    const digest = await pushBlob(lab, originHost, folder, options.blobBytes);
    const nodes = await startNodes(lab, options, originHost, folder, log);
    await waitForMembers(lab, nodes);
    if (options.mode === 'warm') {
      const first = nodes[0];
      if (first !== undefined) await pull(lab, first.host, digest);
      origin.kill('SIGKILL');
    }
    const pullers = options.mode === 'warm' ? nodes.slice(1) : nodes;
    const before = (await lab.traffic(originHost)).sentBytes;
    const cpuBefore = await totalUsage(nodes);
    log(`pulling ${options.blobBytes} bytes on ${pullers.length} hosts`);
    const results = await Promise.all(
      pullers.map(
        async (node) =>
          await (options.mode === 'direct'
            ? pullDirect(lab, node.host, originHost, digest)
            : pull(lab, node.host, digest)),
      ),
    );
    const sent = (await lab.traffic(originHost)).sentBytes - before;
    const cpuAfter = await totalUsage(nodes);
    await Promise.all(nodes.map(async (node) => await stopNode(node)));
    return summarize(options, results, sent, cpuAfter.cpuSeconds - cpuBefore.cpuSeconds, cpuAfter.peakBytes);
  } finally {
    if (process.env['KEEP'] === undefined) await rm(folder, { recursive: true, force: true });
    else log(`kept ${folder}`);
  }
}

function summarize(
  options: CrowdOptions,
  results: readonly Pulled[],
  sent: number,
  cpu: number,
  peakBytes: number,
): CrowdResult {
  const boundSeconds = (options.blobBytes * 8) / options.rateBits;
  const seconds = results.map((result) => result.seconds).toSorted((a, b) => a - b);
  const lastSeconds = seconds.at(-1) ?? NaN;
  return {
    options,
    boundSeconds,
    lastSeconds,
    medianSeconds: seconds[Math.floor(seconds.length / 2)] ?? NaN,
    timeRatio: lastSeconds / boundSeconds,
    originRatio: sent / options.blobBytes,
    cpuSecondsPerGB: cpu / ((options.blobBytes * results.length) / 1e9),
    peakMiB: peakBytes / 1024 / 1024,
    seconds,
    longestSilenceSeconds: Math.max(...results.map((result) => result.silenceSeconds)),
  };
}

async function startOrigin(lab: NetworkLab, host: LabHost, folder: string): Promise<ChildProcess> {
  await mkdir(join(folder, 'registry'), { recursive: true });
  const config = join(folder, 'registry.yml');
  await writeFile(
    config,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${join(folder, 'registry')}}}\nhttp: {addr: 0.0.0.0:5000}\n`,
  );
  const child = lab.start(host, 'docker-registry', ['serve', config], { stdio: 'ignore' });
  await untilAnswers(lab, host, 'http://127.0.0.1:5000/v2/');
  return child;
}

async function pushBlob(lab: NetworkLab, host: LabHost, folder: string, sizeBytes: number): Promise<string> {
  const path = join(folder, 'blob');
  const hash = createHash('sha256');
  await using file = await open(path, 'w');
  for (let at = 0; at < sizeBytes; at += 4 * 1024 * 1024) {
    const chunk = randomBytes(Math.min(4 * 1024 * 1024, sizeBytes - at));
    hash.update(chunk);
    await file.write(chunk);
  }
  const digest = `sha256:${hash.digest('hex')}`;
  const base = `http://127.0.0.1:5000/v2/${REPOSITORY}/blobs/uploads/`;
  const head = await lab.exec(host, 'curl', ['-si', '-X', 'POST', base]);
  const location = /^location: (.*)$/im.exec(head)?.[1]?.trim() ?? '';
  await lab.exec(host, 'curl', [
    ...['-sf', '-X', 'PUT', '-H', 'Content-Type: application/octet-stream', '-T', path],
    `${location}&digest=${digest}`,
  ]);
  await rm(path);
  return digest;
}

async function startNodes(
  lab: NetworkLab,
  options: CrowdOptions,
  origin: LabHost,
  folder: string,
  log: (line: string) => void,
): Promise<LabNode[]> {
  const key = join(folder, 'swarm.key');
  await writeFile(key, `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  const hosts: LabHost[] = [];
  for (let index = 0; index < options.nodes; index += 1)
    hosts.push(await lab.addHost(`n${index}`, { rateBits: options.rateBits }));
  const nodes: LabNode[] = [];
  for (const [index, host] of hosts.entries()) {
    const data = join(folder, `node-${index}`);
    await mkdir(data, { recursive: true });
    const output = await open(join(folder, `node-${index}.log`), 'w');
    const args = [
      ...[
        'node',
        '--data',
        data,
        '--listen',
        '127.0.0.1:5000',
        '--admin',
        '127.0.0.1:5001',
        '--swarm',
        `${host.address}:5002`,
      ],
      ...['--swarm-key', key, '--upstream', `${NAME}=http://${origin.address}:5000`],
      ...(index === 0 ? [] : ['--bootstrap', `${hosts[0]?.address ?? ''}:5002`]),
    ];
    const child = lab.start(host, process.execPath, [...NODE_FLAGS, MAIN, ...args], {
      stdio: ['ignore', output.fd, output.fd],
    });
    child.once('exit', () => void output.close());
    nodes.push({ host, child, folder: data });
    await untilAnswers(lab, host, 'http://127.0.0.1:5001/readyz');
    log(`node ${index} is ready`);
  }
  return nodes;
}

async function waitForMembers(lab: NetworkLab, nodes: readonly LabNode[]): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (const node of nodes) {
    for (;;) {
      const peers: unknown = JSON.parse(await lab.exec(node.host, 'curl', ['-s', 'http://127.0.0.1:5001/peers']));
      if (Array.isArray(peers) && peers.length === nodes.length) break;
      if (Date.now() > deadline) throw new Error(`the nodes did not find each other: ${JSON.stringify(peers)}`);
      await pause(200);
    }
  }
}

interface Pulled {
  readonly seconds: number;
  readonly silenceSeconds: number;
}

async function pull(lab: NetworkLab, host: LabHost, digest: string): Promise<Pulled> {
  return await timed(lab, host, `http://127.0.0.1:5000/v2/${REPOSITORY}/blobs/${digest}?ns=${NAME}`, digest);
}

async function pullDirect(lab: NetworkLab, host: LabHost, origin: LabHost, digest: string): Promise<Pulled> {
  return await timed(lab, host, `http://${origin.address}:5000/v2/${REPOSITORY}/blobs/${digest}`, digest);
}

/** Pulls with curl, checks the digest, and watches for silences of the body. */
async function timed(lab: NetworkLab, host: LabHost, url: string, digest: string): Promise<Pulled> {
  const started = performance.now();
  const child = lab.start(host, 'curl', ['-sf', '-N', url], { stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const hash = createHash('sha256');
  let last = started;
  let silence = 0;
  for await (const chunk of child.stdout ?? []) {
    const now = performance.now();
    silence = Math.max(silence, now - last);
    last = now;
    if (Buffer.isBuffer(chunk)) hash.update(chunk);
  }
  const code = await exited;
  if (code !== 0) throw new Error(`curl ended with ${code} on ${host.name}`);
  if (`sha256:${hash.digest('hex')}` !== digest) throw new Error(`wrong bytes on ${host.name}`);
  return { seconds: (performance.now() - started) / 1000, silenceSeconds: silence / 1000 };
}

async function totalUsage(nodes: readonly LabNode[]): Promise<{ cpuSeconds: number; peakBytes: number }> {
  const usages = await Promise.all(nodes.map(async (node) => await processUsage(node.child.pid ?? 0)));
  return {
    cpuSeconds: usages.reduce((sum, usage) => sum + usage.cpuSeconds, 0),
    peakBytes: Math.max(...usages.map((usage) => usage.peakBytes)),
  };
}

/** Asks a node to end, so that it can write what it was told to write at its end. */
async function stopNode(node: LabNode): Promise<void> {
  if (node.child.exitCode !== null || node.child.signalCode !== null) return;
  const exited = new Promise((resolve) => node.child.once('exit', resolve));
  node.child.kill('SIGCONT');
  node.child.kill('SIGTERM');
  await Promise.race([exited, pause(5000)]);
}

async function untilAnswers(lab: NetworkLab, host: LabHost, url: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      await lab.exec(host, 'curl', ['-sf', '-o', '/dev/null', url]);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${url} on ${host.name} does not answer`, { cause: error });
      await pause(100);
    }
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
