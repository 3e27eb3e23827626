/** `status --watch`: blobs on their way as progress bars, or as lines where no person looks. */
import { setTimeout as delay } from 'node:timers/promises';
import type { TransferReport } from '../admin/reports.ts';
import type { AdminClient } from './admin-client.ts';
import { ProgressBars, type BarState } from './progress-bars.ts';
import type { Terminal } from './terminal.ts';
import { showDigest, showSize } from '../text-forms.ts';

const REFRESH_MS = 500;

/** Follows transfers until the process is interrupted or the node is gone. */
export async function watchTransfers(client: AdminClient, terminal: Terminal): Promise<void> {
  using bars = ProgressBars.open(terminal, '{blob} {bar} {percentage} % {sizes} {repository}');
  if (bars === undefined) {
    await watchAsLines(client, terminal);
    return;
  }
  for (;;) {
    const { transfers } = await client.status();
    for (const transfer of transfers) bars.show(transfer.digest, barOf(transfer));
    bars.keep(new Set(transfers.map(({ digest }) => digest)));
    await delay(REFRESH_MS);
  }
}

function barOf({ digest, heldPieces, pieceCount, peerBytes, originBytes, repository }: TransferReport): BarState {
  const sizes = `${showSize(peerBytes)} from peers, ${showSize(originBytes)} from the origin`;
  return { done: heldPieces, total: pieceCount, texts: { blob: showDigest(digest), sizes, repository } };
}

async function watchAsLines(client: AdminClient, terminal: Terminal): Promise<void> {
  for (;;) {
    const { transfers } = await client.status();
    for (const transfer of transfers) terminal.out.write(`${JSON.stringify(transfer)}\n`);
    await delay(REFRESH_MS);
  }
}
