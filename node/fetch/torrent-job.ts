/** Jobs that are done by BitTorrent. */
import type { Digest } from '../../src/oci/digest.ts';
import type { ImageReference } from '../../src/oci/reference.ts';
import type { VerifiedAci } from '../../src/appc/verify-aci.ts';
import type { TorrentEngineConfig } from '../../src/torrent/torrent-engine.ts';
import { torrentEngineConfig } from '../composition/part-configs.ts';
import { formatHostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import { nodeError } from '../errors.ts';
import { usualScheme } from '../usual-scheme.ts';
import { aciCheck, holdsAci } from './aci-check.ts';
import { readTrust, trustOfFlags } from './aci-trust.ts';
import { checkDigests } from './content-checks.ts';
import { nameOfAci } from './fetch-aci.ts';
import { fetchByTorrent, type TorrentOrigin, type WantedByTorrent } from './fetch-by-torrent.ts';
import { findUpstream } from './fetch-origin.ts';
import type { FetchedJob, FetchFlags, FetchJob, JobOptions } from './job.ts';
import { blobTorrentUrl, imageTorrentUrl } from './torrent-file.ts';
import type { WantedName } from './what.ts';

/** What differs from the usual. */
export type TorrentJobChanges = Partial<Pick<WantedByTorrent, 'digest' | 'check' | 'accept' | 'webSeeds' | 'place'>>;

/** Fetches what a torrent is of. */
export async function fetchOfTorrent(
  job: FetchJob,
  origin: TorrentOrigin,
  changes: TorrentJobChanges,
  options: JobOptions,
): Promise<FetchedJob> {
  const { config, flags, place, progress, text: name } = job;
  const wanted: WantedByTorrent = {
    origin,
    name,
    digest: undefined,
    place,
    trackers: config.swarm.tracker,
    peers: flags.peer ?? [],
    seed: flags.seed === true,
    silenceTimeoutMs: flags.timeout,
    check: checkDigests,
    ...changes,
  };
  return await fetchByTorrent({ config, engineConfig: engineConfigFor(job), progress }, wanted, options);
}

/** A torrent file or a magnet link. An app that it holds is checked as one that was asked for by its name. */
export async function fetchTorrentJob(job: FetchJob, origin: TorrentOrigin, options: JobOptions): Promise<FetchedJob> {
  const flags = trustOfFlags(job.flags, job.workingDirectory);
  const trust = flags === undefined ? undefined : await readTrust(flags);
  if (trust === undefined) {
    const accept: WantedByTorrent['accept'] = ({ info }) => {
      if (!holdsAci(info)) return;
      throw nodeError(
        'ERR_USAGE',
        `'${info.name}' holds an app: say whose signature it must have with --key FILE, or --unsigned`,
      );
    };
    return await fetchOfTorrent(job, origin, { accept }, options);
  }
  const found: VerifiedAci[] = [];
  const check = aciCheck({ trust, onVerified: (verified) => void found.push(verified) });
  await using stack = new AsyncDisposableStack();
  const fetched = stack.use(await fetchOfTorrent(job, origin, { check }, options));
  const [verified] = found;
  const opened = stack.move();
  const result =
    verified === undefined
      ? fetched.result
      : {
          ...fetched.result,
          what: 'app' as const,
          name: nameOfAci(verified),
          imageId: verified.imageId,
          signedBy: verified.signedBy?.fingerprint,
        };
  return { result, count: fetched.count, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** A blob by the torrent that a node makes of it. */
export async function fetchBlobByTorrent(digest: Digest, job: FetchJob, options: JobOptions): Promise<FetchedJob> {
  const url = blobTorrentUrl(nodeUrl(job.flags, job.config), digest);
  return await fetchOfTorrent(job, { kind: 'url', url }, { digest }, options);
}

/** An image by the torrent of the node which the name itself leads to, else of the node on this machine. */
export async function fetchImageByTorrent(
  reference: ImageReference,
  { scheme }: WantedName,
  job: FetchJob,
  options: JobOptions,
): Promise<FetchedJob> {
  const { config, flags } = job;
  if (flags.platform !== undefined)
    throw nodeError('ERR_USAGE', 'a torrent has all platforms: name one by its digest instead of --platform');
  const { host } = reference;
  const isNode = flags.node === undefined && host !== undefined && findUpstream(host, config.upstreams) === undefined;
  const node = isNode ? new URL(`${scheme ?? usualScheme(host)}://${host}`) : nodeUrl(flags, config);
  const url = imageTorrentUrl(node, reference, isNode ? undefined : host);
  return await fetchOfTorrent(job, { kind: 'url', url }, { digest: reference.digest }, options);
}

/** Others have to reach who seeds; who only fetches goes to them. Beside a node, its port is taken. */
function engineConfigFor({ config, flags, torrentListen }: FetchJob): TorrentEngineConfig {
  const usual = { host: flags.seed === true ? '0.0.0.0' : '127.0.0.1', port: 0 };
  return { ...torrentEngineConfig(config), ...(torrentListen ?? usual) };
}

function nodeUrl({ node }: FetchFlags, { listen }: NodeConfig): URL {
  const host = ['0.0.0.0', '::'].includes(listen.host) ? '127.0.0.1' : listen.host;
  const text = node ?? `http://${formatHostPort({ ...listen, host })}`;
  const url = URL.parse(text);
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw nodeError('ERR_USAGE', `--node: '${text.slice(0, 160)}' is not an http or https URL`);
}
