/** The job of fetching an app container image by its name. */
import { parseAppReference, type AppReference } from '../../src/appc/values/app-reference.ts';
import type { VerifiedAci } from '../../src/appc/verify-aci.ts';
import { isDockyardError } from '../../src/oci/error.ts';
import { parsePlatform } from '../../src/oci/platform.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { aciCheck } from './aci-check.ts';
import { readTrust, trustOfFlags } from './aci-trust.ts';
import { fetchError } from './errors.ts';
import { fetchAci, nameOfAci, type FetchAciByTorrent, type FetchedAci } from './fetch-aci.ts';
import type { FetchResult } from './fetch-named.ts';
import { findUpstream } from './fetch-origin.ts';
import type { FetchedJob, FetchJob, JobOptions } from './job.ts';
import { openWebClient } from './torrent-file.ts';
import { fetchOfTorrent } from './torrent-job.ts';
import type { WantedName } from './what.ts';

/** This machine, as labels of images name it. */
const HOST_PLATFORM = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' } as const;

/** The app that a name could be: it begins with a host that no upstream of the configuration is, and has no port. */
export function appOf({ text, scheme }: WantedName, { upstreams }: NodeConfig): AppReference | undefined {
  const host = text.split('/', 1)[0] ?? '';
  if (scheme !== undefined || !text.includes('/') || !host.includes('.')) return undefined;
  if (findUpstream(host, upstreams) !== undefined) return undefined;
  try {
    const app = parseAppReference(text);
    return app.name.includes('/') ? app : undefined;
  } catch (error) {
    if (isDockyardError(error)) return undefined;
    throw error;
  }
}

/** Fetches what could have been an image, and is none. @throws {DockyardError} ERR_FETCH_ABSENT when it is no app either */
export async function fetchAppInstead(app: AppReference, job: FetchJob, options: JobOptions): Promise<FetchedJob> {
  const { flags, text, workingDirectory } = job;
  if (trustOfFlags(flags, workingDirectory) === undefined) {
    const hint = 'to look for an app of this name, say whose signature it must have with --key FILE, or --unsigned';
    throw fetchError('ERR_FETCH_ABSENT', `there is no image ${text}; ${hint}`);
  }
  try {
    return await fetchApp(app, job, options);
  } catch (error) {
    if (!isDockyardError(error, 'ERR_DISCOVERY_FAILED') && !isDockyardError(error, 'ERR_ACI_UNKNOWN')) throw error;
    const what = `there is no image ${text}, and no app of this name`;
    throw fetchError('ERR_FETCH_ABSENT', `${what}: ${error.message}`, { cause: error });
  }
}

/** Fetches an app by its name. @throws {DockyardError} as `fetchAci`; ERR_USAGE */
export async function fetchApp(reference: AppReference, job: FetchJob, options: JobOptions): Promise<FetchedJob> {
  const { config, flags, place, progress } = job;
  const { output, force } = place;
  if (output === undefined) throw nodeError('ERR_USAGE', 'an app is written to a file: add --output');
  if (place.data !== undefined) throw nodeError('ERR_USAGE', '--data is for images and blobs, not for apps');
  const trust = await readTrust(trustOfFlags(flags, job.workingDirectory) ?? {});
  const platform = flags.platform === undefined ? HOST_PLATFORM : parsePlatform(flags.platform);
  await using stack = new AsyncDisposableStack();
  const web = stack.use(openWebClient(config, { allowHttp: flags.insecure === true }));
  let torrent: FetchedJob | undefined;
  const byTorrent: FetchAciByTorrent = async (url, { path, signature, webSeed }) => {
    const found: VerifiedAci[] = [];
    const trusted = { ...trust, signature: trust.signature ?? signature };
    const check = aciCheck({ trust: trusted, reference, onVerified: (verified) => void found.push(verified) });
    const changes = { check, webSeeds: [webSeed.href], place: { output: path, data: undefined, force } };
    torrent = stack.use(await fetchOfTorrent(job, { kind: 'url', url }, changes, options));
    const [verified] = found;
    if (verified === undefined) throw new TypeError('a torrent was fetched without a look at it');
    return verified;
  };
  const p2p = flags.p2p === true ? 'required' : 'preferred';
  const wanted = { reference, platform, trust, output, force, p2p } as const;
  const fetched = await fetchAci({ web, progress, byTorrent }, wanted, options);
  const opened = stack.move();
  return {
    result: resultOf(fetched),
    count: torrent?.count,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function resultOf({ verified, place, torrentFailure }: FetchedAci): FetchResult {
  return {
    what: 'app',
    name: nameOfAci(verified),
    digest: undefined,
    imageId: verified.imageId,
    signedBy: verified.signedBy?.fingerprint,
    sizeBytes: verified.sizeBytes,
    place,
    skipped: [],
    detour: torrentFailure?.message,
  };
}
