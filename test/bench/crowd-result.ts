/** What a run of a crowd gave: figures, a table of the nodes for a person, curves for the plot. */
import type { ClientPull, ClientRun } from './crowd-clients.ts';
import type { NodeUsage } from './crowd-node.ts';
import type { Struck } from './crowd-fault.ts';
import type { Arrival } from './arrivals.ts';
import type { ProcessorUse } from './processor-time.ts';

const MIB = 1024 ** 2;

/** Blob bytes of a node, by its own metrics. */
export interface NodeBytes {
  readonly fromPeers: number;
  readonly fromOrigin: number;
  readonly toPeers: number;
}

/** What came after `before` was counted. */
export function bytesSince(now: NodeBytes, before: NodeBytes | undefined): NodeBytes {
  if (before === undefined) return now;
  return {
    fromPeers: now.fromPeers - before.fromPeers,
    fromOrigin: now.fromOrigin - before.fromOrigin,
    toPeers: now.toPeers - before.toPeers,
  };
}

/** One node of the run. */
export interface NodeResult {
  readonly name: string;
  /** From the begin of its client to the end; undefined where it was stopped or killed, and for one without a client. */
  readonly seconds: number | undefined;
  readonly firstByteSeconds: number | undefined;
  readonly longestSilenceSeconds: number | undefined;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
  readonly bytes: NodeBytes | undefined;
  /** Seconds since the start of the run, and bytes. */
  readonly points: readonly Arrival[];
}

/** What one run gave. */
export interface CrowdResult {
  readonly sizeBytes: number;
  /** Size ÷ rate. */
  readonly boundSeconds: number;
  /** From the start of the run to the end of the last client that nothing was done to. */
  readonly lastSeconds: number;
  /** The longest that one client took, from its own begin. */
  readonly slowestSeconds: number;
  /** Bytes that left the origin's link over the size. */
  readonly originRatio: number;
  /** Processor seconds of the nodes for each GB that a client got. */
  readonly cpuSecondsPerGB: number;
  readonly processors: ProcessorUse;
  /** Processor seconds of the clients, the origin and the benchmark itself. */
  readonly harnessSeconds: number;
  /** Processor seconds of what has nothing to do with the run: beyond a few, the figures tell of that. */
  readonly foreignSeconds: number;
  /** At any client; after the fault only, where there was one. */
  readonly longestSilenceSeconds: number;
  readonly struck: { readonly victim: string; readonly fault: string; readonly seconds: number } | undefined;
  readonly nodes: readonly NodeResult[];
  /** For a person who waits. */
  readonly table: string;
}

/** What was seen. */
export interface CrowdObservation {
  readonly sizeBytes: number;
  readonly boundSeconds: number;
  readonly run: ClientRun;
  readonly pulls: readonly ClientPull[];
  readonly ends: ReadonlyMap<ClientPull, number>;
  readonly originBytes: number;
  readonly processors: ProcessorUse;
  readonly harnessSeconds: number;
  readonly usageBefore: Readonly<Record<string, NodeUsage>>;
  readonly usageAfter: Readonly<Record<string, NodeUsage>>;
  readonly nodeBytes: Readonly<Record<string, NodeBytes>>;
  readonly struck: Struck | undefined;
}

/** Reckons the figures. */
export function summarize(seen: CrowdObservation): CrowdResult {
  const { sizeBytes, boundSeconds, run, struck } = seen;
  const nodes = run.lab.nodes.map(({ host }) => nodeResult(seen, host.name));
  const ends = [...seen.ends];
  const gigabytes = seen.pulls.reduce((sum, { arrivals }) => sum + arrivals.sizeBytes, 0) / 1e9;
  const silencesMs = ends.map(([{ arrivals }]) => arrivals.longestSilenceMs(struck?.atMs));
  const nodeSeconds = nodes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  const result = {
    sizeBytes,
    boundSeconds,
    lastSeconds: Math.max(...ends.map(([, endMs]) => endMs - run.startMs)) / 1000,
    slowestSeconds: Math.max(...ends.map(([{ startedAtMs }, endMs]) => endMs - startedAtMs)) / 1000,
    originRatio: seen.originBytes / sizeBytes,
    cpuSecondsPerGB: nodeSeconds / gigabytes,
    processors: seen.processors,
    harnessSeconds: seen.harnessSeconds,
    foreignSeconds: seen.processors.busySeconds - nodeSeconds - seen.harnessSeconds,
    longestSilenceSeconds: Math.max(...silencesMs) / 1000,
    struck: struck && {
      victim: struck.victim.host.name,
      fault: struck.fault,
      seconds: (struck.atMs - run.startMs) / 1000,
    },
    nodes,
  };
  return { ...result, table: formatRun(result) };
}

function nodeResult(seen: CrowdObservation, name: string): NodeResult {
  const pull = seen.pulls.find(({ node }) => node.host.name === name);
  const endMs = pull && seen.ends.get(pull);
  const after = seen.usageAfter[name];
  const record = pull?.arrivals.record();
  return {
    name,
    seconds: pull && endMs && (endMs - pull.startedAtMs) / 1000,
    firstByteSeconds: pull && record?.firstAtMs && (record.firstAtMs - pull.startedAtMs) / 1000,
    longestSilenceSeconds: record && record.longestSilenceMs / 1000,
    cpuSeconds: (after?.cpuSeconds ?? NaN) - (seen.usageBefore[name]?.cpuSeconds ?? NaN),
    peakMiB: (after?.peakBytes ?? NaN) / MIB,
    bytes: seen.nodeBytes[name],
    points: record?.points ?? [],
  };
}

function formatRun(result: Omit<CrowdResult, 'table'>): string {
  const head = [
    'node',
    'seconds',
    'first byte',
    'silence',
    'CPU s',
    'peak MiB',
    'peers MiB',
    'origin MiB',
    'given MiB',
  ];
  const rows = result.nodes.map((node) => [
    node.name === result.struck?.victim ? `${node.name} (${result.struck.fault})` : node.name,
    ...[node.seconds, node.firstByteSeconds, node.longestSilenceSeconds, node.cpuSeconds].map((value) =>
      show(value, 2),
    ),
    show(node.peakMiB, 0),
    ...[node.bytes?.fromPeers, node.bytes?.fromOrigin, node.bytes?.toPeers].map((value) =>
      show(value && value / MIB, 0),
    ),
  ]);
  const widths = head.map((word, at) => Math.max(word.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const lines = [head, ...rows].map((row) => row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  '));
  const { processors } = result;
  const seconds = [
    `clients and origin ${result.harnessSeconds.toFixed(1)} s`,
    `foreign ${result.foreignSeconds.toFixed(1)} s`,
    `stolen ${processors.stolenSeconds.toFixed(1)} s`,
  ];
  const machine = `processors ${(processors.busyShare * 100).toFixed(0)} % busy (${seconds.join(', ')})`;
  const figures = [
    `last done ${result.lastSeconds.toFixed(2)} s of ${result.boundSeconds.toFixed(2)} s`,
    `origin ${result.originRatio.toFixed(3)}×`,
    `${result.cpuSecondsPerGB.toFixed(1)} CPU s per GB`,
    machine,
  ];
  return [...lines, figures.join('; ')].map((line) => `  ${line}`).join('\n');
}

function show(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits);
}
