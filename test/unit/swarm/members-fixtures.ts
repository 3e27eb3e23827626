/** Members made by code: signed ones, and ones for tables alone, which never look at signatures. */
import { createHash } from 'node:crypto';
import type { Identity } from '../../../src/swarm/identity.ts';
import { signRecord, type MemberRecord, type SignedRecord } from '../../../src/swarm/members-record.ts';

const hashOf = (text: string): Buffer => createHash('sha512').update(text).digest();

/** A record of the member `name` whose signature is made up, the same for the same content. */
export function fakeRecord(name: string, incarnation: number, left = false, port = 1): SignedRecord {
  const record: MemberRecord = {
    incarnation,
    left,
    swarmAddresses: [{ host: '10.0.0.1', port }],
    dataAddresses: [],
    topology: '',
  };
  const body = Buffer.from(`${name} ${incarnation} ${left} ${port}`);
  const member = { peerId: name, dataAddresses: [], topology: '' };
  return { record, member, publicKey: hashOf(name).subarray(0, 32), body, signature: hashOf(body.toString()) };
}

/** A record that is signed by its member. */
export function realRecord(identity: Identity, fields: Partial<MemberRecord> = {}): SignedRecord {
  const record = {
    incarnation: 1,
    left: false,
    swarmAddresses: [{ host: '10.0.0.1', port: 5002 }],
    dataAddresses: [],
    topology: '',
    ...fields,
  };
  return signRecord(identity, record);
}
