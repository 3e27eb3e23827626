/** URL templates of discovery: `https://example.com/{name}-{version}-{os}-{arch}.{ext}`. */
import type { AppReference } from '../values/app-reference.ts';

/** What a file is, in its name. */
export type AciExtension = 'aci' | 'aci.asc';

/** The version that is meant where none is said. */
export const DEFAULT_VERSION = 'latest';

/** The reference with a version. */
export function withVersion(reference: AppReference): AppReference {
  if (reference.labels.has('version')) return reference;
  return { ...reference, labels: new Map([['version', DEFAULT_VERSION], ...reference.labels]) };
}

/**
 * Fills in a template. Values are escaped, so that a label cannot lead to another place than the template says.
 * @returns undefined when the template lacks `{ext}`, has a placeholder for which there is no label, or comes to no http URL
 */
export function renderTemplate(template: string, reference: AppReference, extension: AciExtension): URL | undefined {
  if (!template.includes('{ext}')) return undefined;
  const { name, labels } = withVersion(reference);
  let isWhole = true;
  const text = template.replaceAll(/\{([^{}]*)\}/g, (_, key: string) => {
    if (key === 'ext') return extension;
    if (key === 'name') return name;
    const value = labels.get(key);
    // A path of dots would be resolved away.
    if (value === undefined || /^\.+$/.test(value)) isWhole = false;
    return encodeURIComponent(value ?? '');
  });
  const url = isWhole && !/[{}]/.test(text) ? URL.parse(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
}
