/**
 * One run of a crowd: fresh nodes on hosts behind shaped links, clients that begin in waves, and perhaps a fault in the
 * middle. What is measured is what the clients see and what left the origin's link.
 */
import { pieceGeometry } from '../../src/content/geometry.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { makeRandomImage, blobsOf, pushImage } from '../support/image-builder.ts';
import { blobClient, imageClient, type ClientPull, type ClientRun } from './crowd-clients.ts';
import { CrowdLab, REPOSITORY } from './crowd-lab.ts';
import { strikeAtHalf, type CrowdFault } from './crowd-fault.ts';
import { usageOf, type CrowdNode } from './crowd-node.ts';
import { bytesSince, summarize, type CrowdResult, type NodeBytes } from './crowd-result.ts';
import { MemoryAtHand } from './memory-at-hand.ts';
import { ownSeconds, processorClock } from './processor-time.ts';
import { pushKnownBlob, type KnownBlob } from './random-blob.ts';

/** What is pulled. */
export type CrowdContent =
  | { readonly kind: 'blob'; readonly sizeBytes: number }
  | { readonly kind: 'image'; readonly layersBytes: readonly number[] };

/** What happens in a run. */
export interface CrowdPlan {
  readonly nodes: number;
  readonly rateBits: number;
  readonly content: CrowdContent;
  /** Share of the rate that the origin gives to one connection; undefined: all of it. */
  readonly connectionShare?: number | undefined;
  /** All at once when undefined. */
  readonly waves?: { readonly share: number; readonly everySeconds: number } | undefined;
  /** `warm`: the first node has all, and the origin is gone. `direct`: clients pull past their nodes. */
  readonly setting: 'cold' | 'warm' | 'direct';
  readonly fault?: CrowdFault | undefined;
  /** Every node pulls another blob of this size before, as a node that has run for a while has; 0: processes are fresh. */
  readonly warmUpBytes: number;
  readonly profileFolder?: string | undefined;
}

/** What is in the origin, under its digests. */
interface Pulled {
  readonly sizeBytes: number;
  readonly digests: readonly Digest[];
  /** Undefined for an image. */
  readonly blob: KnownBlob | undefined;
  /** The blob that nodes warm up with. */
  readonly warmUp: KnownBlob | undefined;
}

const TAG = 'bench';
/** Of what the nodes write, so much memory is at hand; skopeo writes it once more. */
const MEMORY_SHARE = { blob: 1.2, image: 2.2 } as const;

/** Runs a plan to its end. @throws {Error} when a client that nothing was done to did not get the right bytes */
export async function runCrowd(plan: CrowdPlan, log: (line: string) => void): Promise<CrowdResult> {
  let content: Pulled | undefined;
  await using lab = await CrowdLab.open(
    {
      nodes: plan.nodes,
      rateBits: plan.rateBits,
      connectionRateBits: plan.connectionShare === undefined ? undefined : plan.rateBits * plan.connectionShare,
      profileFolder: plan.profileFolder,
    },
    async (registry, folder) => {
      content = await fill(registry, folder, plan);
    },
    log,
  );
  if (content === undefined) throw new TypeError('the origin was not filled');
  if (content.warmUp !== undefined) await warmUp(lab, content.warmUp);
  const pullers = plan.setting === 'warm' ? await warmFirst(lab, content, plan) : lab.nodes;
  const result = await measure(lab, plan, content, pullers, log);
  for (const node of lab.nodes) await node.stop();
  return result;
}

async function fill(
  registry: { readonly url: string; readonly port: number },
  folder: string,
  { content, warmUpBytes }: CrowdPlan,
): Promise<Pulled> {
  const warmUp = warmUpBytes > 0 ? await pushKnownBlob(registry.url, REPOSITORY, folder, warmUpBytes) : undefined;
  if (content.kind === 'blob') {
    const blob = await pushKnownBlob(registry.url, REPOSITORY, folder, content.sizeBytes);
    return { sizeBytes: content.sizeBytes, digests: [blob.digest], blob, warmUp };
  }
  const image = makeRandomImage(...content.layersBytes);
  await pushImage(`127.0.0.1:${registry.port}/${REPOSITORY}:${TAG}`, image);
  const parts = [image.config, ...image.layers];
  return {
    sizeBytes: parts.reduce((sum, { bytes }) => sum + bytes.length, 0),
    digests: blobsOf(image),
    blob: undefined,
    warmUp,
  };
}

/** Has all nodes pull a blob that is not measured: what has run for a while is compiled, and knows its peers. */
async function warmUp(lab: CrowdLab, blob: KnownBlob): Promise<void> {
  const run = { lab, expectedMs: 1000 };
  const begins = await Promise.all(lab.nodes.map(async (node) => await blobClient(run, node, blob, 'node')));
  const startMs = performance.now();
  await Promise.all(begins.map(async (begin) => await begin(startMs).done));
}

/** Brings everything to the first node, takes the origin away, and answers the other nodes. */
async function warmFirst(lab: CrowdLab, content: Pulled, plan: CrowdPlan): Promise<readonly CrowdNode[]> {
  const [first, ...others] = lab.nodes;
  if (first === undefined) return [];
  const begin = await makeClient({ lab, expectedMs: 1000 }, first, content, plan);
  await begin(performance.now()).done;
  lab.killOrigin();
  return others;
}

async function makeClient(
  run: Omit<ClientRun, 'startMs'>,
  node: CrowdNode,
  content: Pulled,
  plan: CrowdPlan,
): Promise<(startMs: number) => ClientPull> {
  const { blob } = content;
  if (blob === undefined) return imageClient(run, node, TAG, content.digests);
  return await blobClient(run, node, blob, plan.setting === 'direct' ? 'origin' : 'node');
}

async function measure(
  lab: CrowdLab,
  plan: CrowdPlan,
  content: Pulled,
  pullers: readonly CrowdNode[],
  log: (line: string) => void,
): Promise<CrowdResult> {
  const boundSeconds = (content.sizeBytes * 8) / plan.rateBits;
  // What all nodes together get.
  const totalBytes = content.sizeBytes * pullers.length;
  await using _memory = await MemoryAtHand.open(
    plan.setting === 'direct' ? 0 : totalBytes * MEMORY_SHARE[plan.content.kind],
    pieceGeometry(largestBytes(plan.content)).pieceSizeBytes,
  );
  const expected = { lab, expectedMs: boundSeconds * 1000 };
  const clients = new Map<CrowdNode, (startMs: number) => ClientPull>();
  for (const node of pullers) clients.set(node, await makeClient(expected, node, content, plan));
  const originBefore = await lab.originSentBytes();
  const bytesBefore = await bytesOf(lab.nodes);
  const usageBefore = await usageOf(lab.nodes);
  const clock = await processorClock();
  const harnessBefore = (await ownSeconds()) + (await lab.originCpuSeconds());
  const run: ClientRun = { ...expected, startMs: performance.now() };
  const pulls: ClientPull[] = [];
  const [digest] = content.digests;
  const crowd = { lab, pullers, halfBytes: (content.sizeBytes * pullers.length) / 2 };
  const fault = plan.fault && digest ? strikeAtHalf(crowd, plan.fault, digest) : undefined;
  // Its failure is told below, unless that of a client comes first.
  fault?.catch(() => undefined);
  await startInWaves(plan, pullers, (node) => {
    const begun = clients.get(node)?.(run.startMs);
    if (begun !== undefined) pulls.push(begun);
  });
  if (fault !== undefined) await Promise.race([fault, Promise.all(pulls.map(async ({ done }) => await done))]);
  const struck = await fault;
  const untouched = pulls.filter(({ node }) => node !== struck?.victim);
  const ends = new Map(await Promise.all(untouched.map(async (pull) => [pull, (await pull.done).endedAtMs] as const)));
  const processors = await clock();
  const harnessSeconds = (await ownSeconds()) + (await lab.originCpuSeconds()) - harnessBefore;
  const originBytes = (await lab.originSentBytes()) - originBefore;
  const usageAfter = { ...(await usageOf(lab.nodes)), ...struck?.lastUsage };
  const nodeBytes = await bytesOf(
    lab.nodes.filter((node) => node !== struck?.victim),
    bytesBefore,
  );
  for (const pull of untouched) await pull.verify();
  const result = summarize({
    sizeBytes: content.sizeBytes,
    boundSeconds,
    run,
    pulls,
    ends,
    originBytes,
    processors,
    harnessSeconds,
    usageBefore,
    usageAfter,
    nodeBytes,
    struck,
  });
  log(result.table);
  return result;
}

/** Of the largest blob. */
function largestBytes(content: CrowdContent): number {
  return content.kind === 'blob' ? content.sizeBytes : Math.max(...content.layersBytes);
}

/** Where the bytes of nodes came from, since `before`. */
async function bytesOf(
  nodes: readonly CrowdNode[],
  before: Readonly<Record<string, NodeBytes>> = {},
): Promise<Record<string, NodeBytes>> {
  const bytes: Record<string, NodeBytes> = {};
  for (const node of nodes) bytes[node.host.name] = bytesSince(await node.bytes(), before[node.host.name]);
  return bytes;
}

/** Starts clients, some of them at a time; resolves when the last have begun. */
async function startInWaves(
  { waves, nodes }: CrowdPlan,
  pullers: readonly CrowdNode[],
  start: (node: CrowdNode) => void,
): Promise<void> {
  const atOnce = waves === undefined ? nodes : Math.ceil(pullers.length * waves.share);
  for (let at = 0; at < pullers.length; at += atOnce) {
    if (at > 0 && waves !== undefined) await new Promise((resolve) => setTimeout(resolve, waves.everySeconds * 1000));
    for (const node of pullers.slice(at, at + atOnce)) start(node);
  }
}
