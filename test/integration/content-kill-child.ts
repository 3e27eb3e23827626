/**
 * The process that test/integration/content-kill.test.ts kills: gathers, puts and removes blobs in a loop, and tells on
 * standard output of each step that the store said was done. Arguments: store directory, seed.
 */
import { writeSync } from 'node:fs';
import { gather, makeBlob, openFsStore, seededBytes } from '../contract/blob-store-fixtures.ts';
import type { PartialBlob } from '../../src/content/blob-store.ts';
import { killBlobSize, killBlobSeed } from './content-kill-blobs.ts';
import type { TestBlob } from '../contract/blob-store-fixtures.ts';

const [directory = '', seedText = '1'] = process.argv.slice(2);
const choices = seededBytes(64 * 1024, Number(seedText));
let nextChoice = 0;

function choose(count: number): number {
  nextChoice = (nextChoice + 2) % (choices.length - 1);
  return choices.readUInt16LE(nextChoice) % count;
}

function tell(...words: (string | number)[]): void {
  writeSync(1, `${words.join(' ')}\n`);
}

async function writeSome(partial: PartialBlob, blob: TestBlob, number: number): Promise<void> {
  const from = choose(blob.pieces.length);
  const order = [...blob.pieces.slice(from), ...blob.pieces.slice(0, from)];
  const count = choose(3) === 0 ? choose(blob.pieces.length) : blob.pieces.length;
  await Promise.all(
    order.slice(0, count).map(async (piece) => {
      await partial.writePiece(piece.index, piece.bytes, piece.hash);
      tell('piece', number, piece.index);
    }),
  );
}

const store = await openFsStore(directory);
tell('ready');
for (;;) {
  const number = choose(12);
  const blob = makeBlob(killBlobSize(number), killBlobSeed(number));
  if (store.stat(blob.digest) !== undefined) {
    tell('removing', number);
    await store.remove(blob.digest);
    tell('removed', number);
  } else if (number < 3) {
    await store.put(blob.digest, blob.bytes);
    tell('complete', number);
  } else if (choose(5) === 0) {
    await gather(store, blob);
    tell('complete', number);
  } else {
    await using partial = await store.openPartial(blob.digest, blob.bytes.length);
    await writeSome(partial, blob, number);
    if (partial.held.isFull && (await partial.complete()) === 'complete') tell('complete', number);
  }
}
