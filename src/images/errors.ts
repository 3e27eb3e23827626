/** The codes of working with images in registries. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';
import type { ManifestReference } from '../oci/name.ts';
import { formatRepository, type Repository } from '../oci/repository.ts';

export const IMAGE_ERRORS = {
  ERR_IMAGE_UNKNOWN: {
    meaning: 'A registry does not have the image, tag or repository that was named.',
    remedy: 'Check the name; `dockyard images` and `dockyard tags` list what a registry has.',
  },
  ERR_LIST_UNSUPPORTED: {
    meaning: 'A registry does not list its repositories, or does not list them for everybody.',
    remedy: 'Name the repository: `dockyard tags REPOSITORY`. For a private registry run `docker login` first.',
  },
  ERR_REGISTRY_REFUSED: {
    meaning: 'A registry refused to take or to delete something; the message says in its own words why.',
    remedy:
      'Check the account, and whether the registry allows it: some delete by digest alone, some keep tags from being changed.',
  },
  ERR_COPY_INCOMPLETE: {
    meaning: 'A registry lacks a part of an image that it lists, or keeps something else than what it was sent.',
    remedy: 'Push the image to that registry again.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type ImageErrorCode = keyof typeof IMAGE_ERRORS;

/** Makes an error of this layer. */
export function imageError(
  code: ImageErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<ImageErrorCode> {
  return new DockyardError(code, message, options);
}

/** That a repository lacks an image, in the words by which it was named. */
export function unknownImage(repository: Repository, reference: ManifestReference): DockyardError<ImageErrorCode> {
  const what = reference.kind === 'tag' ? `tag '${reference.tag}'` : `image ${reference.digest}`;
  return imageError('ERR_IMAGE_UNKNOWN', `${formatRepository(repository)} has no ${what}`);
}
