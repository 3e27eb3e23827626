/** A seed in memory that serves app container images, and a client that pushes as acpush does. */
import { ACI_LIMITS, type AciLimits } from '../../../../src/appc/archive/aci-inspection.ts';
import { AppcServer, type AppcServerConfig } from '../../../../src/appc/server/appc-server.ts';
import { APPC_NAMESPACE } from '../../../../src/appc/server/aci-key.ts';
import type { ShelvedAci } from '../../../../src/appc/server/aci-shelf.ts';
import { SeedAciShelf } from '../../../../src/appc/server/seed-aci-shelf.ts';
import { readKeyring } from '../../../../src/appc/signature/keyring.ts';
import type { SeedPolicyConfig } from '../../../../src/seed/seed-policy.ts';
import { openTestSeed, type Answer, type TestSeed } from '../../seed/seed-fixture.ts';
import { makeSigningKey, type SigningKey } from '../../../support/signing-key.ts';

/** The seed and who signs for it. */
export interface AppcSeed extends AsyncDisposable {
  readonly seed: TestSeed;
  readonly key: SigningKey;
  readonly published: ShelvedAci[];
  /** Moves the clock of what is under way. */
  pass(durationMs: number): void;
}

let keyOfAll: Promise<SigningKey> | undefined;

/** Opens a seed that trusts one key, whatever else a test wants of it. */
export async function openAppcSeed(
  config: Partial<AppcServerConfig> = {},
  policy: Partial<SeedPolicyConfig> = {},
  limits: Partial<AciLimits> = {},
): Promise<AppcSeed> {
  keyOfAll ??= makeSigningKey('builder');
  const key = await keyOfAll;
  const keyring = await readKeyring([{ name: 'keys', bytes: Buffer.from(key.publicKey) }]);
  const published: ShelvedAci[] = [];
  let aheadMs = 0;
  const clock = { nowMs: () => Date.now() + aheadMs };
  const resolved: AppcServerConfig = {
    url: undefined,
    keyring,
    allowUnsigned: false,
    pushers: [],
    limits: { ...ACI_LIMITS, ...limits },
    ...config,
  };
  const seed = await openTestSeed({
    policy: { reservedNamespaces: [APPC_NAMESPACE], ...policy },
    sideDoors: (beside, catalog) => {
      const shelf = new SeedAciShelf({ ...beside, catalog });
      const server = new AppcServer({ shelf, clock, onPublished: (aci) => void published.push(aci) }, resolved);
      return [{ route: 'appc', answer: async (request) => await server.answer(request) }];
    },
  });
  return {
    seed,
    key,
    published,
    pass: (durationMs) => {
      aheadMs += durationMs;
    },
    [Symbol.asyncDispose]: async () => await seed[Symbol.asyncDispose](),
  };
}

/** The path of a file. */
export function imagePath(name: string, version = '1.0', extension = 'aci'): string {
  return `/appc/images/${name}/${version}/linux/amd64.${extension}`;
}

/** Pushes a signature and its image by PUT; answers what the image's said. */
export async function putSigned(
  { seed, key }: Pick<AppcSeed, 'seed' | 'key'>,
  name: string,
  image: Buffer,
  version = '1.0',
): Promise<Answer> {
  const signature = await key.sign(image);
  const taken = await seed.send('PUT', imagePath(name, version, 'aci.asc'), { body: signature });
  if (taken.status !== 202 && taken.status !== 201) throw new Error(`the signature was not taken: ${taken.status}`);
  return await seed.send('PUT', imagePath(name, version), { body: image });
}

/** What acpush sends. */
export interface AcPush {
  readonly manifest: string;
  readonly signature: string | Buffer;
  readonly aci: Buffer;
  /** What it reports at the end. */
  readonly success?: boolean;
}

/** Pushes in the order and with the checks of acpush. @returns what it would print: nothing when all went well */
export async function acpush(seed: TestSeed, place: string, push: AcPush, headers = {}): Promise<string | undefined> {
  const begun = await seed.send('POST', `/appc/push/${place}`, { headers });
  if (begun.status !== 200 && begun.status !== 400) return `bad HTTP status code: ${begun.status}`;
  const details = JSON.parse(begun.body.toString()) as Record<string, string>;
  const pathOf = (key: string): string => new URL(details[key] ?? '').pathname;
  const parts = [
    ['upload_manifest_url', push.manifest],
    ['upload_signature_url', push.signature],
    ['upload_aci_url', push.aci],
  ] as const;
  for (const [key, body] of parts) {
    const { status } = await seed.send('PUT', pathOf(key), { body: Buffer.from(body), headers });
    if (status !== 200 && status !== 400) return `bad HTTP status code: ${status}`;
  }
  const body = JSON.stringify({ success: push.success ?? true });
  const done = await seed.send('POST', pathOf('completed_url'), { body, headers });
  if (done.status !== 200 && done.status !== 400) return `bad HTTP status code: ${done.status}`;
  const reply = JSON.parse(done.body.toString()) as { success: boolean; server_reason?: string };
  return reply.success ? undefined : (reply.server_reason ?? '');
}
