/** The codes of the appc room: names, archives, signatures and the ways to find, fetch and push images of rkt's kind. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of app container images. */
export const APPC_ERRORS = {
  ERR_AC_NAME_INVALID: {
    meaning: 'An image name, a label or a reference such as `example.com/app:1.0,os=linux` breaks the grammar of appc.',
    remedy: 'Names have lower-case letters, digits and single `-`, `.`, `_`, `~` and `/` between them.',
  },
  ERR_ACI_INVALID: {
    meaning:
      'A file is no app container image, or is damaged: its compression, its tar headers or its layout are wrong.',
    remedy: 'Build or fetch the image again; the message says where it breaks off.',
  },
  ERR_ACI_UNSAFE: {
    meaning:
      'An app container image has an entry that could do harm where it is unpacked: outside of `rootfs`, twice, behind a symbolic link, or a device.',
    remedy: 'Do not unpack it. Whoever built it has to leave the entry out that the message names.',
  },
  ERR_ACI_TOO_LARGE: {
    meaning:
      'An app container image, or what it unpacks to, is larger than is allowed, or grows as no honest one does.',
    remedy: 'Check where it comes from; the limits stand in docs/LIMITS.md.',
  },
  ERR_ACI_MANIFEST_INVALID: {
    meaning: 'The manifest of an app container image is not valid.',
    remedy: 'Build the image again; the message says which field is wrong.',
  },
  ERR_ACI_MISMATCH: {
    meaning: 'An app container image is not the one that was meant: another name, other labels or another image ID.',
    remedy: 'Check what the server gives out, or under which name the image was pushed.',
  },
  ERR_ACI_UNKNOWN: {
    meaning: 'There is no such app container image, or no signature of it.',
    remedy: 'Check the name, the version and the labels `os` and `arch`.',
  },
  ERR_SIGNATURE_INVALID: {
    meaning: 'A signature is not one that a trusted key made for this file.',
    remedy: 'Fetch file and signature again; if that does not help, do not use the file.',
  },
  ERR_SIGNATURE_MISSING: {
    meaning: 'An app container image has no signature, and one is needed.',
    remedy: 'Push the signature (`.aci.asc`) before the image, or allow unsigned images.',
  },
  ERR_KEY_INVALID: {
    meaning: 'A file of public keys cannot be read, or holds none.',
    remedy: 'Give the output of `gpg --export` or `gpg --export --armor`.',
  },
  ERR_PUSHERS_INVALID: {
    meaning: 'The file of those who may push app container images cannot be used.',
    remedy: 'Write a line `name:password` for each; lines that begin with `#` are passed over.',
  },
  ERR_UPLOAD_STEP: {
    meaning: 'A step of a push of an app container image came in the wrong order, or its upload is over.',
    remedy: 'Begin the push again.',
  },
  ERR_DISCOVERY_FAILED: {
    meaning: 'No page at the name of an app container image, or above it, says where the image is to be had.',
    remedy: 'Check the name; its pages need `ac-discovery` tags, and https unless plain http is allowed.',
  },
  ERR_ACI_DOWNLOAD: {
    meaning: 'A server gave an app container image, its signature or its keys in a wrong way, or not at all.',
    remedy: 'Try again; the message says what the server answered.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type AppcErrorCode = keyof typeof APPC_ERRORS;

/** Makes an error of this layer. */
export function appcError(
  code: AppcErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<AppcErrorCode> {
  return new DockyardError(code, message, options);
}

/** Text of strangers as it may stand in a message: quoted, escaped, and cut. */
export function quoted(text: string, maxLength = 120): string {
  return JSON.stringify(text.length > maxLength ? `${text.slice(0, maxLength)}…` : text);
}
