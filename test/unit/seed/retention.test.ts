import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName, type Tag } from '../../../src/oci/name.ts';
import { Retention, type DatedTag, type RetentionConfig } from '../../../src/seed/retention.ts';

const IMAGE = digestOf(Buffer.from('image'));
const APP = parseRepositoryName('team/app');
const NO_RULES: RetentionConfig = { keepTags: [], keepNewest: 0, keepPushedWithinMs: 0, keepPulledWithinMs: 0 };

const dated = (tag: string, updatedAtMs: number): DatedTag => ({ tag: tag as Tag, digest: IMAGE, updatedAtMs });
const TAGS = [dated('latest', 900), dated('v1.0', 100), dated('main-1', 200), dated('main-2', 800), dated('v2.0', 850)];

function dropped(config: Partial<RetentionConfig>, tags: readonly DatedTag[] = TAGS): string[] {
  const retention = new Retention({ ...NO_RULES, ...config });
  const isThere = (digest: string): boolean => digest === IMAGE;
  return retention.dropped(APP, tags, { nowMs: 1000, isThere }).map(({ tag }) => tag);
}

describe('rules for tags', () => {
  test('without any rule everything is kept', () => {
    expect(new Retention(NO_RULES).hasRules).toBe(false);
    expect(dropped({})).toEqual([]);
  });

  test.each<[string, Partial<RetentionConfig>, string[]]>([
    ['a pattern', { keepTags: ['v*'] }, ['latest', 'main-2', 'main-1']],
    ['a pattern of this repository', { keepTags: ['team/*:v1*'] }, ['latest', 'v2.0', 'main-2', 'main-1']],
    ['a pattern of another repository', { keepTags: ['other/**:*', 'latest'] }, ['v2.0', 'main-2', 'main-1', 'v1.0']],
    ['the newest two', { keepNewest: 2 }, ['main-2', 'main-1', 'v1.0']],
    ['more than there are', { keepNewest: 100 }, []],
    ['those pushed lately', { keepPushedWithinMs: 200 }, ['main-2', 'main-1', 'v1.0']],
    ['those pushed within the time of pulls', { keepPulledWithinMs: 200 }, ['main-2', 'main-1', 'v1.0']],
    ['what any of the rules keeps', { keepTags: ['v*'], keepNewest: 1, keepPushedWithinMs: 300 }, ['main-1']],
  ])('%s keeps what it says, and the rest is dropped', (_, config, expected) => {
    expect(dropped(config)).toEqual(expected);
  });

  test('a rule for pulls keeps what was pulled, however old', () => {
    const tags = [{ ...dated('v1', 100), pulledAtMs: 950 }, { ...dated('v2', 100), pulledAtMs: 800 }, dated('v3', 100)];
    expect(dropped({ keepPulledWithinMs: 100 }, tags)).toEqual(['v2', 'v3']);
    expect(dropped({ keepNewest: 1 }, tags)).toEqual(['v2', 'v3']);
  });

  test('what is attached to an image by its tag stays with it, and takes no place among the newest', () => {
    const hex = IMAGE.replace('sha256:', '');
    const attached = [dated(`sha256-${hex}`, 950), dated(`sha256-${hex}.sig`, 960)];
    const orphan = dated(`sha256-${hex.replaceAll(/./g, '0')}.sig`, 10);
    expect(dropped({ keepNewest: 1 }, [...attached, orphan, dated('latest', 900)])).toEqual([orphan.tag]);
  });
});
