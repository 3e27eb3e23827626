/**
 * JSON for documents that are judged by what they say: two readers must not see two different things in it. So doubled
 * keys, a byte order mark, bad UTF-8 and absurd nesting are refused, where `JSON.parse` lets them pass or takes the last.
 * @see RFC 8259, section 4 (names within an object should be unique) and CVE-2021-41190 (what ambiguity leads to)
 */

/** A parsed JSON value. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A parsed JSON object; a key that is absent is `undefined`. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** Deeper documents are refused; manifests need six levels. */
export const MAX_JSON_DEPTH = 64;

/** One token that matters to the search for doubled keys: a string, or a bracket, or a comma, or a colon. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

/**
 * Reads UTF-8 JSON.
 * @throws {SyntaxError} when it is not valid JSON, not valid UTF-8, begins with a byte order mark, has a key twice in
 *   one object, or nests deeper than MAX_JSON_DEPTH
 */
export function parseStrictJson(bytes: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new SyntaxError('the document is not valid UTF-8', { cause });
  }
  const value = JSON.parse(text) as JsonValue;
  refuseDoubledKeys(text);
  return value;
}

/** True for a JSON object, as opposed to an array or a scalar. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Walks text that is known to be JSON. An object stands on the stack as the set of its keys, an array as `undefined`. */
function refuseDoubledKeys(text: string): void {
  const stack: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{' || token === '[') {
      stack.push(token === '{' ? new Set() : undefined);
      if (stack.length > MAX_JSON_DEPTH)
        throw new SyntaxError(`the document nests deeper than ${MAX_JSON_DEPTH} levels`);
      expectsKey = token === '{';
    } else if (token === '}' || token === ']') {
      stack.pop();
      expectsKey = false;
    } else if (token === ',') {
      expectsKey = stack.at(-1) !== undefined;
    } else if (token === ':') {
      expectsKey = false;
    } else if (expectsKey) {
      addKey(stack.at(-1), JSON.parse(token) as string);
    }
  }
}

function addKey(keys: Set<string> | undefined, key: string): void {
  if (keys?.has(key) === true) throw new SyntaxError(`the key '${key.slice(0, 80)}' stands twice in one object`);
  keys?.add(key);
}
