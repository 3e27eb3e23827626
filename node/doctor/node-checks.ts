/** The checks of the doctor that the node makes of itself: store, swarm, upstreams, clocks. */
import { randomBytes } from 'node:crypto';
import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OpenedContent } from '../../src/content/open-content.ts';
import { asError } from '../../src/oci/error.ts';
import type { MemberDirectory } from '../../src/swarm/member.ts';
import type { SwarmProbe, SwarmProbeResult, UpstreamProbe } from '../admin/ports.ts';
import type { CheckReport } from '../admin/reports.ts';
import type { NodeConfig } from '../config/schema.ts';
import { showCount, showSize } from '../text-forms.ts';

/** Clocks further apart than this disturb tokens and the age of tags. */
const MAX_CLOCK_SKEW_MS = 30_000;

/** The parts that are checked. */
export interface NodeChecksDeps {
  readonly config: () => NodeConfig;
  readonly content: OpenedContent;
  readonly members: MemberDirectory;
  readonly upstreams: UpstreamProbe;
  readonly swarmProbe: SwarmProbe;
}

/** Makes all checks, those that wait for others at once. */
export async function examineNode(
  deps: NodeChecksDeps,
  options: { signal: AbortSignal },
): Promise<readonly CheckReport[]> {
  const [disk, writable, swarm, upstreams] = await Promise.all([
    checkDisk(deps),
    checkWritable(deps.config().data),
    checkSwarm(deps, options.signal),
    checkUpstreams(deps.upstreams, options.signal),
  ]);
  return [disk, writable, ...swarm, ...upstreams];
}

async function checkDisk({ content, config }: NodeChecksDeps): Promise<CheckReport> {
  const { freeDiskBytes, blobBytes, partialBytes, maxSizeBytes } = await content.blobs.usage();
  const { minFreeDiskBytes } = config().store;
  const seen = `${showSize(freeDiskBytes)} free on disk; blobs take ${showSize(blobBytes + partialBytes)} of ${showSize(maxSizeBytes)}`;
  if (freeDiskBytes > minFreeDiskBytes) return { name: 'disk', state: 'ok', seen };
  const remedy = `Free disk space, or lower store.minFreeDisk (${showSize(minFreeDiskBytes)}): nothing new can be kept without evicting.`;
  return { name: 'disk', state: 'warn', seen, remedy };
}

async function checkWritable(directory: string): Promise<CheckReport> {
  const file = join(directory, `.doctor-${randomBytes(4).toString('hex')}`);
  try {
    await writeFile(file, 'dockyard doctor');
    await unlink(file);
    return { name: 'data folder', state: 'ok', seen: `${directory} can be written` };
  } catch (error) {
    const remedy = 'Check that the disk is not full or read-only, and that the folder belongs to the user of the node.';
    return { name: 'data folder', state: 'fail', seen: `${directory}: ${asError(error).message}`, remedy };
  }
}

async function checkSwarm(
  { config, members, swarmProbe }: NodeChecksDeps,
  signal: AbortSignal,
): Promise<CheckReport[]> {
  const { swarm } = config();
  if (!swarm.enabled) return [{ name: 'swarm', state: 'ok', seen: 'switched off: this node shares with nobody' }];
  const peerCount = members.alive().length - 1;
  const seen = showCount(peerCount, 'other node');
  if (peerCount > 0) return [{ name: 'swarm', state: 'ok', seen }, ...(await checkEcho(swarmProbe, signal))];
  if (swarm.bootstrap.length === 0 && swarm.tracker.length === 0) {
    const remedy = 'Name another node with --bootstrap HOST:PORT, and give both the same --swarm-key.';
    return [{ name: 'swarm', state: 'warn', seen: `${seen}, and none to meet them through`, remedy }];
  }
  const remedy =
    'Check that the bootstrap nodes run, that their swarm port can be reached from here, and that all have the same swarm key.';
  return [{ name: 'swarm', state: 'fail', seen: `${seen}, although bootstrap nodes are named`, remedy }];
}

async function checkEcho(probe: SwarmProbe, signal: AbortSignal): Promise<CheckReport[]> {
  const name = 'test blob';
  try {
    const result = await probe.probe({ signal });
    if (result === undefined) return [];
    const seen = `${showSize(result.sizeBytes)} to ${result.peerId} and back in ${Math.round(result.durationMs)} ms`;
    return [{ name, state: 'ok', seen }, ...checkClock(result)];
  } catch (error) {
    const remedy =
      'Check that the data port (swarm.data) of both nodes can be reached by the other, through firewalls too.';
    return [{ name, state: 'fail', seen: asError(error).message, remedy }];
  }
}

function checkClock({ peerId, clockAheadMs }: SwarmProbeResult): CheckReport[] {
  if (clockAheadMs === undefined) return [];
  const skewMs = Math.abs(Math.round(clockAheadMs));
  const seen = `${skewMs} ms apart from ${peerId}`;
  if (skewMs <= MAX_CLOCK_SKEW_MS) return [{ name: 'clock', state: 'ok', seen }];
  return [
    {
      name: 'clock',
      state: 'warn',
      seen,
      remedy: 'Keep the clocks of all hosts with NTP (chrony, systemd-timesyncd).',
    },
  ];
}

async function checkUpstreams(probe: UpstreamProbe, signal: AbortSignal): Promise<CheckReport[]> {
  const findings = await probe.probe({ signal });
  return findings.map(({ name, state, seen, remedy }) => ({ name: `upstream ${name}`, state, seen, remedy }));
}
