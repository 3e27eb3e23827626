/**
 * Who may set something going. The admin server may listen where Prometheus of another machine reaches it; what makes
 * work or changes something is for this machine alone, so that no token has to be kept. A browser on this machine that
 * follows a hostile page is kept out too: browsers put `Origin` on every such request.
 * @see Fetch Standard, "Origin header"
 */
import { isLoopbackHost } from '../config/address.ts';

/** The facts of a request that decide. */
export interface ActionRequest {
  readonly remoteAddress: string | undefined;
  readonly origin: string | undefined;
}

/** Why a request may not set something going; `undefined` when it may. */
export function refusalOfAction(request: ActionRequest): string | undefined {
  if (request.origin !== undefined && request.origin !== '') return 'requests of web pages are refused';
  if (request.remoteAddress === undefined || !isLoopbackHost(request.remoteAddress)) {
    return 'only requests from this machine may do this; run the command on the host of the node';
  }
  return undefined;
}
