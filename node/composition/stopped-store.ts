/** The content store of a node that is not running, for commands that work on its folder. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';

/** Opens the store without limits, so that nothing is evicted. Closed by the caller. @throws {DockyardError} ERR_STORE_LOCKED … */
export function openStoppedStore(directory: string): Promise<OpenedContent> {
  const deps = { clock: { nowMs: () => Date.now() }, log: pino({ level: 'silent' }), metrics: new Registry() };
  return openContent(deps, {
    directory,
    maxSizeBytes: Infinity,
    minFreeDiskBytes: 0,
    maxManifestBytes: Infinity,
    maxTags: Infinity,
  });
}
