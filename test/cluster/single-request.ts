/** A client that opens a connection for one request and closes it, so that none of its own is left on the node. */
import { get } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';

/** What came of a request. */
export interface SingleAnswer {
  readonly status: number;
  /** `undefined` when it ended short. */
  readonly body: Buffer | undefined;
}

/** Asks for a page. Waits for as long as the server does. */
export async function requestOnce(url: string, headers: Record<string, string> = {}): Promise<SingleAnswer> {
  const request = get(url, { agent: false, headers });
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  const body = await buffer(answer).catch(() => undefined);
  return { status: answer.statusCode ?? 0, body };
}
