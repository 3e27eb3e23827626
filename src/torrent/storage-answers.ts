/** Answers the questions of the engine's thread for bytes, out of the storages of its torrents. */
import { asError } from '../oci/error.ts';
import type { EngineReport } from './engine-protocol.ts';
import type { EngineThread } from './engine-thread.ts';
import { torrentError } from './errors.ts';
import type { TorrentStorage, WritableTorrentStorage } from './storage.ts';

export interface StorageAnswersDeps {
  readonly thread: EngineThread;
  /** `undefined` of a torrent that was removed. */
  readonly storageOf: (id: number) => TorrentStorage | WritableTorrentStorage | undefined;
  /** Told why a question had no answer: the disk may be to blame. */
  readonly onFailed: (error: unknown) => void;
}

/** Owned by one `TorrentEngine`. */
export class StorageAnswers {
  readonly #deps: StorageAnswersDeps;

  constructor(deps: StorageAnswersDeps) {
    this.#deps = deps;
  }

  onRead({ askId, id, start, end, windowOffsetBytes }: Extract<EngineReport, { kind: 'read' }>): void {
    const { thread, storageOf } = this.#deps;
    const into = windowOffsetBytes === undefined ? undefined : thread.window(windowOffsetBytes, end - start);
    void this.#answer(askId, async () => {
      const storage = storageOf(id);
      if (storage === undefined) throw removed();
      const bytes = await storage.read({ start, end }, into);
      return into === undefined ? bytes : undefined;
    });
  }

  onWrite({ askId, id, offsetBytes, bytes }: Extract<EngineReport, { kind: 'write' }>): void {
    void this.#answer(askId, async () => {
      const storage = this.#deps.storageOf(id);
      if (storage === undefined || !('write' in storage)) throw removed();
      await storage.write(offsetBytes, bytes);
      return undefined;
    });
  }

  /** A torrent whose bytes cannot be read is refused to the peer that asked. */
  async #answer(askId: number, work: () => Promise<Uint8Array | undefined>): Promise<void> {
    const { thread, onFailed } = this.#deps;
    try {
      thread.postAnswer(askId, await work());
    } catch (error) {
      onFailed(error);
      thread.post({ kind: 'refusal', askId, message: asError(error).message });
    }
  }
}

function removed(): Error {
  return torrentError('ERR_TORRENT_CLOSED', 'the torrent was removed');
}
