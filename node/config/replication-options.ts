/** The options of seeds that keep the same images. */
import { duration, text } from './kinds.ts';
import { group, list, option } from './option.ts';

const DAY_MS = 86_400_000;

/** The group of these options. */
export const replicationOptions = group('Other seeds, whose images a seed keeps as well.', {
  from: list(text('NAME', 255), {
    summary:
      'Upstreams, seeds, whose pushes and deletions are made here too. Seeds that are to keep the same name each other.',
  }),
  keepDeletions: option(duration({ min: DAY_MS }), {
    summary:
      'How long a seed remembers that something was deleted: one that was away for longer is started with an empty data folder.',
    default: 90 * DAY_MS,
  }),
});
