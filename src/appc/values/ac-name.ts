/**
 * Names of app container images, and their labels.
 * @see appc/spec v0.8.11, spec/types.md "AC Identifier Type", spec/aci.md "Image Manifest Schema"
 */
import { appcError, quoted } from '../errors.ts';

declare const acNameBrand: unique symbol;

/** `example.com/reduce-worker`: like a URL without a scheme. */
export type AcName = string & { readonly [acNameBrand]: true };

/** Longer names are refused: they have to fit into URLs and into the keys of stores. */
export const MAX_AC_NAME_LENGTH = 255;

/** Labels of one image, at most. */
export const MAX_LABELS = 64;

const IDENTIFIER = /^[a-z0-9]+(?:[-._~/][a-z0-9]+)*$/;

/** Nothing that a header, a log or a terminal could trip over. */
// eslint-disable-next-line no-control-regex -- control characters are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Reads a name. @throws {DockyardError} ERR_AC_NAME_INVALID */
export function parseAcName(text: string): AcName {
  if (text.length <= MAX_AC_NAME_LENGTH && IDENTIFIER.test(text)) return text as AcName;
  throw appcError('ERR_AC_NAME_INVALID', `${quoted(text)} is not the name of an app container image`);
}

/** True for text that is a name. */
export function isAcName(text: string): text is AcName {
  return text.length <= MAX_AC_NAME_LENGTH && IDENTIFIER.test(text);
}

/** Labels by name: `version`, `os`, `arch`, and what else a builder wrote. */
export type Labels = ReadonlyMap<string, string>;

/**
 * Labels from pairs of name and value.
 * @throws {DockyardError} ERR_AC_NAME_INVALID for one that stands twice, is named `name`, or breaks the grammar
 */
export function parseLabels(pairs: Iterable<readonly [name: string, value: string]>): Labels {
  const labels = new Map<string, string>();
  for (const [name, value] of pairs) {
    const refuse = (what: string): never => {
      throw appcError('ERR_AC_NAME_INVALID', `the label ${quoted(name)} ${what}`);
    };
    if (!isAcName(name)) refuse('is not named as labels are');
    if (name === 'name') refuse('would stand for the name of the image');
    if (labels.has(name)) refuse('stands twice');
    if (value === '' || value.length > MAX_AC_NAME_LENGTH || CONTROL.test(value)) refuse('has no proper value');
    if (labels.size === MAX_LABELS) refuse(`is one too many: ${MAX_LABELS} are allowed`);
    labels.set(name, value);
  }
  return labels;
}

/** The first label that `wanted` has and `found` has not, or has with another value; what `found` has besides is no matter. */
export function missingLabel(wanted: Labels, found: Labels): string | undefined {
  return [...wanted].find(([name, value]) => found.get(name) !== value)?.[0];
}
