/** `status --watch`: blobs on their way as progress bars, or as lines where no person looks. */
import { setTimeout as delay } from 'node:timers/promises';
import { MultiBar, type SingleBar } from 'cli-progress';
import type { TransferReport } from '../admin/reports.ts';
import type { AdminClient } from './admin-client.ts';
import type { Terminal } from './terminal.ts';
import { showDigest, showSize } from '../text-forms.ts';

const REFRESH_MS = 500;

/** Follows transfers until the process is interrupted or the node is gone. */
export async function watchTransfers(client: AdminClient, terminal: Terminal): Promise<void> {
  if (!terminal.isInteractive) {
    await watchAsLines(client, terminal);
    return;
  }
  const bars = new MultiBar({
    stream: terminal.err,
    format: '{blob} {bar} {percentage} % {sizes} {repository}',
    hideCursor: true,
  });
  const shown = new Map<string, SingleBar>();
  try {
    for (;;) {
      const { transfers } = await client.status();
      for (const transfer of transfers) updateBar(bars, shown, transfer);
      for (const [digest, bar] of shown) {
        if (transfers.some((transfer) => transfer.digest === digest)) continue;
        bars.remove(bar);
        shown.delete(digest);
      }
      await delay(REFRESH_MS);
    }
  } finally {
    bars.stop();
  }
}

function updateBar(bars: MultiBar, shown: Map<string, SingleBar>, transfer: TransferReport): void {
  const bar = shown.get(transfer.digest) ?? bars.create(Math.max(1, transfer.pieceCount), 0);
  shown.set(transfer.digest, bar);
  bar.setTotal(Math.max(1, transfer.pieceCount));
  bar.update(transfer.heldPieces, {
    blob: showDigest(transfer.digest),
    sizes: `${showSize(transfer.peerBytes)} from peers, ${showSize(transfer.originBytes)} from the origin`,
    repository: transfer.repository,
  });
}

async function watchAsLines(client: AdminClient, terminal: Terminal): Promise<void> {
  for (;;) {
    const { transfers } = await client.status();
    for (const transfer of transfers) terminal.out.write(`${JSON.stringify(transfer)}\n`);
    await delay(REFRESH_MS);
  }
}
