/** Patterns as operators write them, for names and for tags. Pure. */
import type { RepositoryName, Tag } from '../oci/name.ts';

/** Patterns as they are written: `*` stands for anything but a slash, `**` for anything. */
export function patternOf(text: string): RegExp {
  const parts = text.split(/(\*\*|\*)/).map((part) => {
    if (part === '**') return '.*';
    return part === '*' ? '[^/]*' : part.replaceAll(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`);
  });
  return new RegExp(`^${parts.join('')}$`);
}

/** True for the tags that are meant. */
export type TagPattern = (repository: RepositoryName, tag: Tag) => boolean;

/** Reads `NAME:TAG`, or `TAG` for every repository. */
export function tagPatternOf(text: string): TagPattern {
  const colon = text.indexOf(':');
  const [ofName, ofTag] = [patternOf(colon === -1 ? '**' : text.slice(0, colon)), patternOf(text.slice(colon + 1))];
  return (repository, tag) => ofName.test(repository) && ofTag.test(tag);
}
