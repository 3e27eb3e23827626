/** Long work that SIGINT and SIGTERM end in good order. */
import { fetchError } from '../fetch/errors.ts';

/**
 * Runs work with a signal that the process's first SIGINT or SIGTERM aborts; a second one ends the process as usual.
 * @throws {DockyardError} ERR_FETCH_INTERRUPTED when that ended the work
 */
export async function interruptible<Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController();
  const interrupt = (name: NodeJS.Signals): void => {
    stopListening();
    controller.abort(fetchError('ERR_FETCH_INTERRUPTED', `ended by ${name}`));
  };
  const stopListening = (): void => void process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    return await work(controller.signal);
  } catch (error) {
    // Whatever broke in the course of ending is not what people want to hear of.
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    stopListening();
  }
}
