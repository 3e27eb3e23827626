/**
 * Messages between members, protocol `/dockyard/members/1.0.0`: one exchange per stream, every message in a frame.
 *
 * Frame: `length (4) | kind (1) | fields | statements until the end`. A statement: `state (1) | body length (2) | body of
 * the record | signature (64)`. Fields: probe-for `target length (1), peer id`; sync `fingerprints (2048)`; answer
 * `reached (1)`; page `last (1), buckets as a bit field (32)`; probe none.
 *
 * probe → answer. probe-for → answer, after the target was probed. sync → pages of what differs → pages back.
 */
import { SIGNATURE_BYTES } from './identity.ts';
import { swarmError } from './errors.ts';
import type { PeerId } from './member.ts';
import { FINGERPRINT_BYTES } from './members-fingerprint.ts';
import { decodeRecord, MAX_RECORD_BYTES } from './members-record.ts';
import { MEMBER_STATES, type MemberState, type MemberUpdate } from './members-update.ts';

/** The protocol by which members speak with each other. */
export const MEMBERS_PROTOCOL = '/dockyard/members/1.0.0';

/** Statements in one page: a bound on the time that checking their signatures keeps the event loop (0.1 ms each). */
export const MAX_PAGE_UPDATES = 64;

const STATEMENT_OVERHEAD_BYTES = 1 + 2 + SIGNATURE_BYTES;

/** No frame is larger: the largest page. */
export const MAX_MESSAGE_BYTES =
  1 + FINGERPRINT_BYTES + MAX_PAGE_UPDATES * (STATEMENT_OVERHEAD_BYTES + MAX_RECORD_BYTES);

/** A message. `updates` holds at most MAX_PAGE_UPDATES statements. */
export type MembersMessage = { readonly updates: readonly MemberUpdate[] } & (
  | { readonly kind: 'probe' }
  | { readonly kind: 'probe-for'; readonly target: PeerId }
  | { readonly kind: 'sync'; readonly fingerprints: Uint8Array }
  | { readonly kind: 'answer'; readonly reached: boolean }
  | { readonly kind: 'page'; readonly last: boolean; readonly buckets: ReadonlySet<number> }
);

const KINDS = ['probe', 'probe-for', 'sync', 'answer', 'page'] as const satisfies readonly MembersMessage['kind'][];
const BUCKET_FIELD_BYTES = 32;

/** The bytes of a message, without the length of its frame. */
export function encodeMessage(message: MembersMessage): Buffer {
  const parts = [Buffer.from([KINDS.indexOf(message.kind)]), encodeFields(message)];
  for (const { signed, state } of message.updates.slice(0, MAX_PAGE_UPDATES)) {
    const head = Buffer.alloc(3);
    head.writeUInt8(MEMBER_STATES.indexOf(state), 0);
    head.writeUInt16BE(signed.body.length, 1);
    parts.push(head, Buffer.from(signed.body), Buffer.from(signed.signature));
  }
  return Buffer.concat(parts);
}

/**
 * Reads a message from untrusted bytes. The signatures of its records are not checked here.
 * @throws {DockyardError} ERR_MEMBERS_PROTOCOL
 */
export function decodeMessage(bytes: Uint8Array): MembersMessage {
  const reader = new MessageReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const kind = KINDS[reader.byte()];
  switch (kind) {
    case 'probe':
      return { kind, updates: reader.updates() };
    case 'probe-for':
      return { kind, target: reader.take(reader.byte()).toString('latin1'), updates: reader.updates() };
    case 'sync':
      return { kind, fingerprints: reader.take(FINGERPRINT_BYTES), updates: reader.updates() };
    case 'answer':
      return { kind, reached: reader.flag(), updates: reader.updates() };
    case 'page':
      return {
        kind,
        last: reader.flag(),
        buckets: readBuckets(reader.take(BUCKET_FIELD_BYTES)),
        updates: reader.updates(),
      };
    default:
      throw malformed('a message of an unknown kind');
  }
}

function encodeFields(message: MembersMessage): Buffer {
  switch (message.kind) {
    case 'probe':
      return Buffer.alloc(0);
    case 'probe-for':
      return Buffer.concat([Buffer.from([message.target.length]), Buffer.from(message.target, 'latin1')]);
    case 'sync':
      return Buffer.from(message.fingerprints);
    case 'answer':
      return Buffer.from([message.reached ? 1 : 0]);
    case 'page': {
      const field = Buffer.alloc(1 + BUCKET_FIELD_BYTES);
      field[0] = message.last ? 1 : 0;
      for (const bucket of message.buckets)
        field[1 + (bucket >> 3)] = (field[1 + (bucket >> 3)] ?? 0) | (1 << (bucket & 7));
      return field;
    }
  }
}

function readBuckets(field: Uint8Array): Set<number> {
  const buckets = new Set<number>();
  for (let bucket = 0; bucket < BUCKET_FIELD_BYTES * 8; bucket += 1) {
    if (((field[bucket >> 3] ?? 0) & (1 << (bucket & 7))) !== 0) buckets.add(bucket);
  }
  return buckets;
}

class MessageReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(count: number): Buffer {
    const end = this.#offset + count;
    if (end > this.#bytes.length) throw malformed('a message that ends too early');
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  byte(): number {
    return this.take(1).readUInt8(0);
  }

  flag(): boolean {
    const byte = this.byte();
    if (byte > 1) throw malformed('a flag that is neither 0 nor 1');
    return byte === 1;
  }

  updates(): MemberUpdate[] {
    const updates: MemberUpdate[] = [];
    while (this.#offset < this.#bytes.length) {
      if (updates.length === MAX_PAGE_UPDATES) throw malformed('a message with too many statements');
      updates.push(this.#update());
    }
    return updates;
  }

  #update(): MemberUpdate {
    const state: MemberState | undefined = MEMBER_STATES[this.byte()];
    // Copied out of the message: a record lives on in the table, and is not to keep the whole message alive.
    const body = Buffer.from(this.take(this.take(2).readUInt16BE(0)));
    const signed = decodeRecord(body, Buffer.from(this.take(SIGNATURE_BYTES)));
    // Departure is said by the member itself, within the signature, and by nobody else.
    if (state === undefined || signed.record.left !== (state === 'left'))
      throw malformed('a state that contradicts its record');
    return { signed, state };
  }
}

function malformed(what: string): Error {
  return swarmError('ERR_MEMBERS_PROTOCOL', `a peer sent ${what}`);
}
