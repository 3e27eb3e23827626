/** Reads the headers and the query of pushes. What is doubled or contradicts itself is refused, never guessed at. */
import { registryError } from './errors.ts';

/** The one value of a query parameter; undefined when it is not there. @throws {DockyardError} ERR_QUERY_DOUBLED */
export function singleParameter(query: URLSearchParams, name: string): string | undefined {
  const [value, ...others] = query.getAll(name);
  if (others.length > 0) throw registryError('ERR_QUERY_DOUBLED', `the query has more than one ${name}`);
  return value;
}

/**
 * Reads the `Content-Range` of a chunk: `<first>-<last>`, without a unit and without a total.
 * @param declaredBytes the length of the body, where the client says it
 * @throws {DockyardError} ERR_CONTENT_RANGE when it is malformed, ERR_CONTENT_LENGTH when the body is not as long as it says
 */
export function readContentRange(
  header: string | undefined,
  declaredBytes: number | undefined,
): { readonly start: number } | undefined {
  if (header === undefined) return undefined;
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(header);
  const start = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(last) || last < start) {
    throw registryError('ERR_CONTENT_RANGE', 'Content-Range is not <first>-<last>, as in 0-1023');
  }
  if (declaredBytes !== undefined && declaredBytes !== last - start + 1) {
    throw registryError(
      'ERR_CONTENT_LENGTH',
      `Content-Range tells of ${last - start + 1} bytes, Content-Length of ${declaredBytes}`,
    );
  }
  return { start };
}
