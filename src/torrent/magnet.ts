/** Magnet links: the info hash of a torrent, with its trackers and web seeds as hints. @see BEP 9, "magnet URI format" */
import { torrentError } from './errors.ts';
import type { Metainfo } from './metainfo.ts';

/** What a magnet link says. */
export interface Magnet {
  /** 40 lower-case hexadecimal digits. */
  readonly infoHash: string;
  readonly name: string | undefined;
  readonly trackers: readonly string[];
  readonly webSeeds: readonly string[];
}

const MAX_MAGNET_LENGTH = 16 * 1024;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** True for text that is meant as a magnet link. */
export function looksLikeMagnet(text: string): boolean {
  return text.slice(0, 7).toLowerCase() === 'magnet:';
}

/** Reads a magnet link from untrusted text. @throws {DockyardError} ERR_MAGNET_INVALID */
export function parseMagnet(text: string): Magnet {
  if (!looksLikeMagnet(text) || text.length > MAX_MAGNET_LENGTH) throw invalid(text);
  const query = new URLSearchParams(text.slice(text.indexOf('?') + 1));
  const infoHash = query
    .getAll('xt')
    .map(readTopic)
    .find((found) => found !== undefined);
  if (infoHash === undefined) throw invalid(text);
  return {
    infoHash,
    name: query.get('dn') ?? undefined,
    trackers: urls(query.getAll('tr'), ['http:', 'https:', 'udp:']),
    webSeeds: urls(query.getAll('ws'), ['http:', 'https:']),
  };
}

/** The magnet link of a torrent. */
export function formatMagnet({ info, trackerTiers, webSeeds }: Metainfo): string {
  const hints = [
    ['dn', info.name],
    ...trackerTiers.flat().map((url) => ['tr', url]),
    ...webSeeds.map((url) => ['ws', url]),
  ].map(([key = '', value = '']) => `&${key}=${encodeURIComponent(value)}`);
  return `magnet:?xt=urn:btih:${info.infoHash}${hints.join('')}`;
}

/** A magnet link for the engine, with what it needs alone. */
export function formatMagnetHash({ infoHash, trackers }: Magnet): string {
  return `magnet:?xt=urn:btih:${infoHash}${trackers.map((url) => `&tr=${encodeURIComponent(url)}`).join('')}`;
}

function readTopic(topic: string): string | undefined {
  const [, code = ''] = /^urn:btih:([a-z0-9]+)$/.exec(topic.toLowerCase()) ?? [];
  if (/^[0-9a-f]{40}$/.test(code)) return code;
  return /^[a-z2-7]{32}$/.test(code) ? hexOfBase32(code) : undefined;
}

function hexOfBase32(code: string): string {
  const bits = [...code].map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return (bits.match(/.{4}/g) ?? []).map((nibble) => Number.parseInt(nibble, 2).toString(16)).join('');
}

function urls(texts: readonly string[], schemes: readonly string[]): string[] {
  return texts.filter((text) => schemes.includes(URL.parse(text)?.protocol ?? ''));
}

function invalid(text: string): Error {
  return torrentError('ERR_MAGNET_INVALID', `'${text.slice(0, 160)}' is not a magnet link of a torrent`);
}
