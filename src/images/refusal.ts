/** A registry's refusal, in its own words. */
import type { DockyardError } from '../oci/error.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';
import { imageError } from './errors.ts';

/** What a registry answered, as far as a refusal goes. */
export interface RefusingAnswer {
  readonly status: number;
  readonly bytes: Buffer;
}

/** What registries say is shown up to this length. */
const MAX_SHOWN = 300;

/** @param what what was asked: `the upload of sha256:…` */
export function refusal(repository: Repository, what: string, answer: RefusingAnswer): DockyardError {
  const { code, message } = firstError(answer.bytes);
  const words = [code, message].filter((part) => part !== undefined).join(': ');
  const said = words === '' ? '' : ` (${words.replace(/[^\u0020-\u007e\u00a0-\uffff]/g, ' ').slice(0, MAX_SHOWN)})`;
  return imageError(
    'ERR_REGISTRY_REFUSED',
    `${formatRepository(repository)} refused ${what} with ${answer.status}${said}`,
    {
      details: { status: answer.status, code },
    },
  );
}

/** The first of the errors in an answer of the specification's form. */
function firstError(bytes: Buffer): { readonly code?: string | undefined; readonly message?: string | undefined } {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch {
    // A proxy's page, or nothing at all: then the status has to do.
    return {};
  }
  const errors = (document as { errors?: unknown } | null)?.errors;
  const [first] = Array.isArray(errors) ? (errors as unknown[]) : [];
  if (typeof first !== 'object' || first === null) return {};
  const { code, message } = first as { code?: unknown; message?: unknown };
  return {
    code: typeof code === 'string' ? code : undefined,
    message: typeof message === 'string' && message !== '' ? message : undefined,
  };
}
