/** Questions and answers of a link, as they stand in its frames. */
import { swarmError } from '../errors.ts';

/** A question (any JSON value) or an answer (a JSON object), and bytes that are not squeezed through JSON. */
export interface LinkMessage {
  readonly value: unknown;
  readonly bytes: Buffer;
}

/** The payload of a question or an answer: `id (4) jsonLength (4) json bytes`. */
export function encodeMessage(id: number, value: unknown, bytes: Uint8Array = Buffer.alloc(0)): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const message = Buffer.allocUnsafe(8 + json.length + bytes.length);
  message.writeUInt32BE(id, 0);
  message.writeUInt32BE(json.length, 4);
  json.copy(message, 8);
  message.set(bytes, 8 + json.length);
  return message;
}

/** @throws {DockyardError} ERR_LINK_PROTOCOL */
export function decodeMessage(payload: Buffer): { id: number; value: unknown; bytes: Buffer } {
  if (payload.length < 8) throw swarmError('ERR_LINK_PROTOCOL', 'a message is too short');
  const jsonEnd = 8 + payload.readUInt32BE(4);
  if (jsonEnd > payload.length) throw swarmError('ERR_LINK_PROTOCOL', 'a message announces more JSON than it has');
  const value = parseJson(payload.toString('utf8', 8, jsonEnd));
  if (typeof value !== 'object' || value === null) throw swarmError('ERR_LINK_PROTOCOL', 'a message is no object');
  return { id: payload.readUInt32BE(0), value, bytes: payload.subarray(jsonEnd) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw swarmError('ERR_LINK_PROTOCOL', 'a message is not JSON', { cause });
  }
}
