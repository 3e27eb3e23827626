/** How people name an image to be fetched: `example.com/app:1.0,os=linux,arch=amd64`. */
import { appcError, quoted } from '../errors.ts';
import { parseAcName, parseLabels, type AcName, type Labels } from './ac-name.ts';

/** What is asked for: a name, and the labels that the image must have. */
export interface AppReference {
  readonly name: AcName;
  readonly labels: Labels;
}

/** Longer text is not looked at. */
const MAX_REFERENCE_LENGTH = 4096;

/**
 * Reads a reference: a name, then `:` and a version if one is meant, then further labels after commas.
 * @throws {DockyardError} ERR_AC_NAME_INVALID
 */
export function parseAppReference(text: string): AppReference {
  const refuse = (what: string): never => {
    throw appcError('ERR_AC_NAME_INVALID', `${quoted(text)} is not a reference to an app container image: ${what}`);
  };
  if (text.length > MAX_REFERENCE_LENGTH) refuse('it is too long');
  const [head = '', ...rest] = text.split(',');
  const colon = head.indexOf(':');
  const version = colon === -1 ? [] : [['version', head.slice(colon + 1)] as const];
  const further = rest.map((part) => {
    const equals = part.indexOf('=');
    if (equals < 1) refuse(`${quoted(part)} is not label=value`);
    return [part.slice(0, equals), part.slice(equals + 1)] as const;
  });
  const name = parseAcName(colon === -1 ? head : head.slice(0, colon));
  return { name, labels: parseLabels([...version, ...further]) };
}

/** The reference as text that `parseAppReference` reads; for messages where a value has a comma. */
export function formatAppReference({ name, labels }: AppReference): string {
  const version = labels.get('version');
  const further = [...labels].filter(([label]) => label !== 'version').map(([label, value]) => `,${label}=${value}`);
  return `${name}${version === undefined ? '' : `:${version}`}${further.join('')}`;
}
