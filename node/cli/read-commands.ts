/** `status`, `peers`, `blobs`, `pulls`: what a running node tells of itself. */
import type { Command } from 'commander';
import type {
  BlobReport,
  PeerReport,
  PullReport,
  ReplicationReport,
  StatusReport,
  TransferReport,
} from '../admin/reports.ts';
import { addReadFlags, adminClient, type CommandContext, type ReadOptions } from './context.ts';
import { stateOf } from './replication-command.ts';
import { print, printJson } from './terminal.ts';
import { showBar, showCount, showDigest, showDuration, showSize, showTable } from '../text-forms.ts';
import { watchTransfers } from './watch.ts';

/** Adds the commands. */
export function addReadCommands(program: Command, context: CommandContext): void {
  addReadFlags(program.command('status').description('what the node holds, its peers, and blobs on their way'))
    .option('--watch', 'follow blobs on their way until interrupted')
    .action(async (options: ReadOptions & { watch?: boolean }) => {
      const client = adminClient(options, context.facts);
      if (options.watch === true) {
        await watchTransfers(client, context.terminal);
        return;
      }
      const status = await client.status();
      if (options.json === true) printJson(context.terminal, status);
      else for (const line of statusLines(status, Date.now())) print(context.terminal, line);
    });
  addReadFlags(program.command('peers').description('the nodes of the swarm')).action(async (options: ReadOptions) => {
    const peers = await adminClient(options, context.facts).peers();
    if (options.json === true) printJson(context.terminal, peers);
    else for (const line of peerLines(peers)) print(context.terminal, line);
  });
  addReadFlags(
    program.command('pulls').description('the last blobs that came: from where, and what failures cost'),
  ).action(async (options: ReadOptions) => {
    const pulls = await adminClient(options, context.facts).pulls();
    if (options.json === true) printJson(context.terminal, pulls);
    else for (const line of pullLines(pulls)) print(context.terminal, line);
  });
  addReadFlags(program.command('blobs').description('the blobs that the node holds')).action(
    async (options: ReadOptions) => {
      const blobs: BlobReport[] = [];
      for await (const blob of adminClient(options, context.facts).blobs()) blobs.push(blob);
      if (options.json === true) printJson(context.terminal, blobs);
      else for (const line of blobLines(blobs)) print(context.terminal, line);
    },
  );
}

/** The status as people read it. */
export function statusLines(status: StatusReport, nowMs: number): string[] {
  const { store, swarm, addresses } = status;
  const limit = store.maxSizeBytes === 'Infinity' ? Infinity : store.maxSizeBytes;
  const swarmText = swarm.enabled
    ? `${addresses.swarm ?? ''}, ${showCount(swarm.peerCount, 'other node')}, ${swarm.hasKey ? 'closed by a key' : 'without a key'}`
    : 'off';
  const facts: readonly (readonly [string, string])[] = [
    ['node', `dockyard ${status.version}, up ${showDuration(nowMs - status.startedAtMs)}, process ${status.pid}`],
    ['registry', `http://${addresses.facade}`],
    ['admin', `http://${addresses.admin}`],
    ['swarm', swarmText],
    ['upstreams', status.upstreams.map(({ name, isDefault }) => (isDefault ? `${name} (default)` : name)).join(', ')],
    ['data', status.dataDirectory],
    [
      'held',
      `${showCount(store.blobCount, 'blob')}, ${showSize(store.blobBytes)} of ${showSize(limit)}; ${showSize(store.freeDiskBytes)} free on disk`,
    ],
    ['unfinished', `${showCount(store.partialCount, 'blob')}, ${showSize(store.partialBytes)}`],
    ...(status.replication ?? []).map((report) => ['seed', seedText(report)] as const),
    ...(status.scrub === undefined ? [] : [['scrub', scrubText(status.scrub, nowMs)] as const]),
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const lines = facts.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  const transfers = status.transfers.map((transfer) => transferRow(transfer, nowMs));
  if (transfers.length === 0) return lines;
  return [
    ...lines,
    '',
    ...showTable(['on its way', 'progress', 'held', 'of', 'from', 'since', 'repository'], transfers),
  ];
}

/** What the search for damage found, on one line. */
function seedText(report: ReplicationReport): string {
  const waiting = report.pendingCount === 0 ? '' : `, ${showCount(report.pendingCount, 'change')} waiting`;
  return `${report.seed}: ${stateOf(report)}${waiting}`;
}

function scrubText(scrub: NonNullable<StatusReport['scrub']>, nowMs: number): string {
  const { counts, lost, passStartedAtMs, lastEndAtMs } = scrub;
  const what = `${showCount(counts.blobs, 'blob')}, ${showSize(counts.readBytes)}`;
  const damage = `${counts.damaged} damaged, ${counts.missing} missing, ${counts.repaired} repaired`;
  const when =
    passStartedAtMs === undefined
      ? lastEndAtMs === undefined
        ? 'no pass has ended yet'
        : `last pass ended ${showDuration(nowMs - lastEndAtMs)} ago: ${what}; ${damage}`
      : `in a pass since ${showDuration(nowMs - passStartedAtMs)}: ${what}; ${damage}`;
  const [first] = lost;
  if (first === undefined) return when;
  return `${when}; LOST: ${showCount(lost.length, 'blob')}, as ${first.repository}@${first.digest}`;
}

function transferRow(transfer: TransferReport, nowMs: number): string[] {
  const fraction = transfer.pieceCount === 0 ? 0 : transfer.heldPieces / transfer.pieceCount;
  const sizeBytes = transfer.sizeBytes ?? 0;
  const held = showSize(Math.round(fraction * sizeBytes));
  const from = `${showSize(transfer.peerBytes)} peers, ${showSize(transfer.originBytes)} origin`;
  const since = showDuration(nowMs - transfer.startedAtMs);
  return [
    showDigest(transfer.digest),
    showBar(fraction),
    held,
    sizeBytes === 0 ? '?' : showSize(sizeBytes),
    from,
    since,
    transfer.repository,
  ];
}

/** The peers as people read them. */
export function peerLines(peers: readonly PeerReport[]): string[] {
  const rows = peers.map((peer) => [
    peer.peerId,
    peer.addresses.join(' '),
    peer.topology || '-',
    peer.isSelf ? 'this node' : '',
  ]);
  return showTable(['peer', 'data', 'topology', ''], rows);
}

/** The blobs as people read them, and their sum. */
export function blobLines(blobs: readonly BlobReport[]): string[] {
  const rows = blobs.map((blob) => {
    const state =
      blob.state === 'complete'
        ? blob.pinned
          ? 'pinned'
          : 'complete'
        : `${Math.floor((100 * blob.heldBytes) / Math.max(1, blob.sizeBytes))} %`;
    const used =
      blob.lastUsedAtMs === undefined ? '-' : new Date(blob.lastUsedAtMs).toISOString().slice(0, 19).replace('T', ' ');
    return [blob.digest, showSize(blob.sizeBytes), state, used];
  });
  const sumBytes = blobs.reduce((sum, blob) => sum + blob.heldBytes, 0);
  return [
    ...showTable(['digest', 'size', 'state', 'last used (UTC)'], rows),
    `${showCount(blobs.length, 'blob')}, ${showSize(sumBytes)}`,
  ];
}

/** The last pulls as people read them. */
export function pullLines(pulls: readonly PullReport[]): string[] {
  const rows = pulls.map((pull) => [
    showDigest(pull.digest),
    pull.outcome,
    pull.sizeBytes === undefined ? '?' : showSize(pull.sizeBytes),
    showDuration((pull.endedAtMs ?? pull.startedAtMs) - pull.startedAtMs),
    showSize(pull.localBytes),
    `${showSize(pull.peerBytes)}${pull.holderCount === 0 ? '' : ` (${showCount(pull.holderCount, 'node')})`}`,
    showSize(pull.originBytes),
    showDuration(pull.lostMs),
    pull.repository,
  ]);
  return showTable(['blob', 'outcome', 'size', 'took', 'local', 'peers', 'origin', 'lost', 'repository'], rows);
}
