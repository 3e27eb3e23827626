/**
 * `daemon.json` of Docker: `registry-mirrors`, which dockerd asks for images of Docker Hub. Text is inserted, so that the
 * layout of the file stays, and the outcome is proven by parsing it.
 * @see https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 */
import { isDeepStrictEqual } from 'node:util';
import { nodeError } from '../errors.ts';

const KEY = 'registry-mirrors';

type JsonObject = Record<string, unknown>;

/** Mirrors that the file names. @throws {DockyardError} ERR_MIRROR_UNEDITABLE */
export function listRegistryMirrors(text: string | undefined, path: string): readonly string[] {
  return text === undefined ? [] : mirrorsOf(parseObject(text, path), path);
}

/**
 * Puts the node in front of the mirrors.
 * @returns the new text; the same text when the node is among them already
 * @throws {DockyardError} ERR_MIRROR_UNEDITABLE
 */
export function addRegistryMirror(text: string | undefined, path: string, url: string): string {
  if (text === undefined || text.trim() === '') return `{\n  "${KEY}": [${JSON.stringify(url)}]\n}\n`;
  const before = parseObject(text, path);
  const mirrors = mirrorsOf(before, path);
  if (mirrors.some((mirror) => isSameUrl(mirror, url))) return text;
  const wanted = { ...before, [KEY]: [url, ...mirrors] };
  return firstWith([...additions(text, url, before)], wanted) ?? rewritten(text, wanted);
}

/** Takes the node out of the mirrors, and the list itself when it is empty then. @throws {DockyardError} ERR_MIRROR_UNEDITABLE */
export function removeRegistryMirror(text: string, path: string, url: string): string {
  const before = parseObject(text, path);
  const mirrors = mirrorsOf(before, path);
  const left = mirrors.filter((mirror) => !isSameUrl(mirror, url));
  if (left.length === mirrors.length) return text;
  const { [KEY]: _, ...rest } = before;
  const wanted = left.length === 0 ? rest : { ...before, [KEY]: left };
  return firstWith([...removals(text, url)], wanted) ?? rewritten(text, wanted);
}

function* additions(text: string, url: string, before: JsonObject): Generator<string> {
  const shown = JSON.stringify(url);
  if (KEY in before) {
    for (const { index, 0: head } of text.matchAll(/"registry-mirrors"\s*:\s*\[\s*/g)) {
      const at = index + head.length;
      const separator = text[at] === ']' ? '' : head.includes('\n') ? `,${head.slice(head.lastIndexOf('\n'))}` : ', ';
      yield text.slice(0, at) + shown + separator + text.slice(at);
    }
    return;
  }
  const open = text.indexOf('{') + 1;
  const line = `\n${indentOf(text)}"${KEY}": [${shown}]`;
  const isEmpty = Object.keys(before).length === 0;
  const gap = text.slice(open).startsWith('\n') || text.slice(open).startsWith('\r') ? '' : `\n${indentOf(text)}`;
  yield (
    text.slice(0, open) +
    line +
    (isEmpty ? '\n' : `,${gap}`) +
    (isEmpty ? text.slice(open).trimStart() : text.slice(open).replace(/^ +/, ''))
  );
}

function* removals(text: string, url: string): Generator<string> {
  const shown = escapeForPattern(JSON.stringify(url));
  const patterns = [
    `\\s*"${KEY}"\\s*:\\s*\\[\\s*${shown}\\s*\\]\\s*,(?=\\s)`,
    `\\s*,\\s*"${KEY}"\\s*:\\s*\\[\\s*${shown}\\s*\\]`,
    `\\s*"${KEY}"\\s*:\\s*\\[\\s*${shown}\\s*\\]`,
    `${shown}\\s*,\\s*`,
    `\\s*,\\s*${shown}`,
  ];
  for (const pattern of patterns) {
    for (const { index, 0: found } of text.matchAll(new RegExp(pattern, 'g'))) {
      yield text.slice(0, index) + text.slice(index + found.length);
    }
  }
}

function firstWith(candidates: readonly string[], wanted: JsonObject): string | undefined {
  return candidates.find((candidate) => {
    try {
      return isDeepStrictEqual(JSON.parse(candidate), wanted);
    } catch {
      return false;
    }
  });
}

function rewritten(text: string, wanted: JsonObject): string {
  return `${JSON.stringify(wanted, undefined, indentOf(text))}\n`;
}

function parseObject(text: string, path: string): JsonObject {
  let value: unknown;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw nodeError('ERR_MIRROR_UNEDITABLE', `${path} is not valid JSON`, { cause: error });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw nodeError('ERR_MIRROR_UNEDITABLE', `${path} is not a JSON object`);
}

function mirrorsOf(object: JsonObject, path: string): readonly string[] {
  const mirrors = object[KEY] ?? [];
  if (Array.isArray(mirrors) && mirrors.every((mirror) => typeof mirror === 'string')) return mirrors;
  throw nodeError('ERR_MIRROR_UNEDITABLE', `${KEY} in ${path} is not a list of URLs`);
}

function indentOf(text: string): string {
  return /\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
}

function isSameUrl(left: string, right: string): boolean {
  return left.replace(/\/+$/, '') === right.replace(/\/+$/, '');
}

function escapeForPattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
