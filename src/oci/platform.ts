/** Platforms as people write them, and which image of an index is meant by one. */
import type { Platform } from './descriptor.ts';
import { ociError } from './errors.ts';

const PLATFORM_PATTERN = /^([a-z0-9._-]{1,64})\/([a-z0-9._-]{1,64})(?:\/([a-z0-9._-]{1,64}))?$/;

/** What a processor is called by systems, and by images. */
const ARCHITECTURE_ALIASES: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64', i386: '386' };

/** Variants that are meant where none is named. */
const USUAL_VARIANTS: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' };

/** Reads `linux/arm64` or `linux/arm/v7`. @throws {DockyardError} ERR_REFERENCE_INVALID */
export function parsePlatform(text: string): Platform {
  const [, os = '', given = '', variant] = PLATFORM_PATTERN.exec(text.toLowerCase()) ?? [];
  if (os === '') throw ociError('ERR_REFERENCE_INVALID', `'${text.slice(0, 160)}' is not OS/ARCHITECTURE[/VARIANT]`);
  const architecture = ARCHITECTURE_ALIASES[given] ?? given;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** `linux/arm/v7` */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === undefined ? '' : `/${variant}`}`;
}

/** Whether an image for `offered` is what `wanted` means; a variant that is not named is the usual one, or any. */
export function isPlatform(offered: Platform, wanted: Platform): boolean {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return false;
  if (wanted.variant === undefined || offered.variant === wanted.variant) return true;
  return offered.variant === undefined && USUAL_VARIANTS[offered.architecture] === wanted.variant;
}

/** The one of several that is meant: the usual variant, else the first that fits. */
export function choosePlatform<Offer extends { readonly platform?: Platform | undefined }>(
  offers: readonly Offer[],
  wanted: Platform,
): Offer | undefined {
  const fitting = offers.filter(({ platform }) => platform !== undefined && isPlatform(platform, wanted));
  const usual = wanted.variant ?? USUAL_VARIANTS[wanted.architecture];
  return fitting.find(({ platform }) => platform?.variant === usual) ?? fitting[0];
}
