/** Writes docs/CONFIGURATION.md anew: `node node/config/write-document.ts`. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderConfigurationDoc } from './document.ts';

writeFileSync(fileURLToPath(new URL('../../docs/CONFIGURATION.md', import.meta.url)), renderConfigurationDoc());
