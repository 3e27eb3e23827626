/** What the server of app container images takes and gives, in the form that the facade has for rooms beside its own. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/name.ts';
import type { AciReading, ShelvedAci } from './aci-shelf.ts';

/** A request. */
export interface AppcRequest {
  readonly method: string;
  /** As it was sent, escaped, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly clientAddress: string;
  readonly signal: AbortSignal;
  body(): AsyncIterable<Uint8Array>;
  wholeBody(limitBytes: number): Promise<Buffer>;
}

/** What happened in a repository, for those who want to be told. */
export interface AppcEvent {
  readonly action: 'push' | 'pull' | 'delete';
  readonly repository: RepositoryName;
  readonly digest?: Digest | undefined;
  readonly tag?: string | undefined;
  readonly mediaType?: string | undefined;
  readonly sizeBytes?: number | undefined;
  readonly manifestBytes?: Uint8Array | undefined;
}

/** A short answer. */
export interface AppcDocument {
  readonly kind: 'document';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Told before it is sent. */
  readonly event?: AppcEvent | undefined;
}

/** Content; whoever sends it sees to ranges and conditions. */
export interface AppcContent {
  readonly kind: 'content';
  readonly tag: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  /** Told when it was sent. */
  readonly event?: AppcEvent | undefined;
  open(): Promise<AciReading>;
}

export type AppcAnswer = AppcDocument | AppcContent;

/** An answer in JSON. */
export function jsonAnswer(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): AppcDocument {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  return { kind: 'document', status, headers: { 'Content-Type': 'application/json', ...headers }, body };
}

/** An answer without a body. */
export function emptyAnswer(status: number, headers: Readonly<Record<string, string>> = {}): AppcDocument {
  return { kind: 'document', status, headers, body: Buffer.alloc(0) };
}

/** An answer in plain words. */
export function textAnswer(status: number, text: string, headers: Readonly<Record<string, string>> = {}): AppcDocument {
  const plain = { 'Content-Type': 'text/plain; charset=utf-8', ...headers };
  return { kind: 'document', status, headers: plain, body: Buffer.from(`${text}\n`) };
}

/** That an image was pushed. */
export function pushEvent({ artifact }: ShelvedAci): AppcEvent {
  const { bytes, ...facts } = artifact;
  return { action: 'push', ...facts, sizeBytes: bytes.length, manifestBytes: bytes };
}
