/** Image IDs: the SHA-512 of an image's uncompressed tar, so that one image has one ID however it is packed. */
import { appcError, quoted } from '../errors.ts';

declare const imageIdBrand: unique symbol;

/** `sha512-` and 128 lower-case hexadecimal digits. */
export type ImageId = string & { readonly [imageIdBrand]: true };

const IMAGE_ID = /^sha512-[a-f0-9]{128}$/;

/** True for text that is an image ID. */
export function isImageId(text: string): text is ImageId {
  return IMAGE_ID.test(text);
}

/** Reads an image ID. @throws {DockyardError} ERR_AC_NAME_INVALID */
export function parseImageId(text: string): ImageId {
  if (isImageId(text)) return text;
  throw appcError('ERR_AC_NAME_INVALID', `${quoted(text)} is not an image ID: sha512- and 128 hexadecimal digits`);
}

/** The image ID that a SHA-512 stands for. @param sha512 64 bytes */
export function imageIdOf(sha512: Uint8Array): ImageId {
  return `sha512-${Buffer.from(sha512).toString('hex')}` as ImageId;
}
