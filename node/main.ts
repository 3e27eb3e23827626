#!/usr/bin/env -S MALLOC_ARENA_MAX=2 node --max-semi-space-size=4 --heap-growing-percent=60
/**
 * The program `dockyard`. The first line keeps memory small: what a node moves are buffers, which live neither in the space
 * for young objects nor in an arena of every thread; with the defaults a node that relays takes a hundred megabytes more.
 * And it keeps the collector from its habit of marking all for every ten megabytes that pass where they pass slowly: that
 * took four of ten processor seconds of a pull at 200 Mbit/s.
 */
import process from 'node:process';

const NEEDED_NODE_MAJOR = 24;

// Before anything else is loaded: an older one would only point at syntax that it does not know.
if (Number.parseInt(process.versions.node) < NEEDED_NODE_MAJOR) {
  process.stderr.write(
    `dockyard: Node ${NEEDED_NODE_MAJOR} or newer is needed, and this is ${process.version} (${process.execPath})\n` +
      '  Put a newer one first on the PATH, or run scripts/dockyard from a checkout, which fetches one.\n',
  );
  process.exit(1);
}

// A reader that goes away (`dockyard blobs | head`) ends the output, not the program with a fault.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}
const { runCommandLine } = await import('./cli/run.ts');
const { processTerminal } = await import('./cli/terminal.ts');
const { processFacts } = await import('./config/facts.ts');
process.exitCode = await runCommandLine(process.argv.slice(2), processTerminal(), processFacts());
