#!/usr/bin/env -S MALLOC_ARENA_MAX=2 node --max-semi-space-size=4 --heap-growing-percent=60
/**
 * The program `dockyard`. The first line keeps memory small: what a node moves are buffers, which live neither in the space
 * for young objects nor in an arena of every thread; with the defaults a node that relays takes a hundred megabytes more.
 * And it keeps the collector from its habit of marking all for every ten megabytes that pass where they pass slowly: that
 * took four of ten processor seconds of a pull at 200 Mbit/s.
 */
import { runCommandLine } from './cli/run.ts';
import { processTerminal } from './cli/terminal.ts';
import { processFacts } from './config/facts.ts';

// A reader that goes away (`dockyard blobs | head`) ends the output, not the program with a fault.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}
process.exitCode = await runCommandLine(process.argv.slice(2), processTerminal(), processFacts());
