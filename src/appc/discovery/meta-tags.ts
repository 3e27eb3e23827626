/**
 * The `ac-` tags in the head of an HTML page. What stands in its body is not heeded: there a page may show what strangers
 * wrote.
 * @see appc/spec v0.8.11, spec/discovery.md "Discovery URL"
 */
import { Parser } from 'htmlparser2';

/** One tag: `<meta name="ac-discovery" content="PREFIX URL">`. */
export interface MetaTag {
  readonly name: string;
  /** Names of images that the tag is about begin with this. */
  readonly prefix: string;
  /** A URL, or the template of one. */
  readonly url: string;
}

/** More tags on one page are not looked at. */
export const MAX_META_TAGS = 100;

/** Elements that may stand in a head; any other begins the body, with or without a tag of its own. */
const HEAD_ELEMENTS: ReadonlySet<string> = new Set([
  'html',
  'head',
  'title',
  'base',
  'link',
  'meta',
  'style',
  'script',
  'noscript',
  'template',
]);

/** Elements whose content is not part of the page itself. */
const APART: ReadonlySet<string> = new Set(['noscript', 'template']);

/** Reads the tags of a page, in their order. Never fails: what is no HTML has no tags. */
export function readMetaTags(html: string): readonly MetaTag[] {
  const tags: MetaTag[] = [];
  let isHead = true;
  let depthApart = 0;
  const parser = new Parser({
    onopentag: (element, attributes) => {
      if (APART.has(element)) depthApart += 1;
      if (!HEAD_ELEMENTS.has(element)) isHead = false;
      if (!isHead || depthApart > 0 || element !== 'meta' || tags.length >= MAX_META_TAGS) return;
      const tag = tagOf(attributes['name'], attributes['content']);
      if (tag !== undefined) tags.push(tag);
    },
    onclosetag: (element) => {
      if (APART.has(element)) depthApart -= 1;
      if (element === 'head') isHead = false;
    },
  });
  parser.end(html);
  return tags;
}

function tagOf(name: string | undefined, content: string | undefined): MetaTag | undefined {
  const [, prefix, url] = /^\s*(\S+)\s+(\S+)\s*$/.exec(content ?? '') ?? [];
  if (name?.startsWith('ac-') !== true || prefix === undefined || url === undefined) return undefined;
  return { name, prefix, url };
}
