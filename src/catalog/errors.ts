/** The codes of the catalog. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

/** Errors of knowing what is where. */
export const CATALOG_ERRORS = {
  ERR_CATALOG_LOCKED: {
    meaning: 'Another process has the catalog open.',
    remedy: 'Stop the other seed, or give this one a data folder of its own.',
  },
  ERR_CATALOG_DAMAGED: {
    meaning: 'The catalog, or an entry of it, cannot be read.',
    remedy:
      'Restore the folder `catalog` from a backup. Blobs are not touched: images that are pushed again send manifests only.',
  },
  ERR_CATALOG_FULL: {
    meaning: 'The disk has no room for an entry of the catalog; nothing of the change was made.',
    remedy: 'Free space or delete images, and push again.',
  },
  ERR_CATALOG_IO: {
    meaning: 'The catalog could not be read or written; `cause` has the reason.',
    remedy: 'Look at the permissions of the data folder and at the health of the disk.',
  },
  ERR_CATALOG_CLOSED: {
    meaning: 'Something was asked of the catalog after it was closed.',
    remedy: 'None is needed while a node shuts down; otherwise report it as a bug.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type CatalogErrorCode = keyof typeof CATALOG_ERRORS;

/** Makes an error of this layer. */
export function catalogError(
  code: CatalogErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<CatalogErrorCode> {
  return new DockyardError(code, message, options);
}
