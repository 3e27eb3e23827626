/**
 * The composition root: every part of a node, in the order in which they depend on each other. What was started is closed
 * in the reverse order, also when a later part fails to start.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { BufferPool } from '../../src/content/buffer-pool.ts';
import { openContent, type OpenedContent } from '../../src/content/open-content.ts';
import { steadyClock, systemClock } from '../../src/origin/clock.ts';
import { OriginRegistry } from '../../src/origin/origin-registry.ts';
import type { Notifier } from '../../src/notify/notifier.ts';
import { createFacade } from '../../src/registry/facade.ts';
import { FacadeServer } from '../../src/registry/facade-server.ts';
import { OriginListService } from '../../src/transfer/manifest-lists.ts';
import { OriginManifestService } from '../../src/transfer/manifest-service.ts';
import { BlobSizeHints } from '../../src/transfer/manifest-sizes.ts';
import { createTransfer, type DataPlane, type Transfer } from '../../src/transfer/open-transfer.ts';
import { AdminServer } from '../admin/admin-server.ts';
import type { HostPort } from '../config/address.ts';
import type { NodeConfig } from '../config/schema.ts';
import { OriginProbe } from '../doctor/origin-probe.ts';
import { SwarmEcho } from '../doctor/swarm-echo.ts';
import { nodeError } from '../errors.ts';
import { listenFailure } from '../listen-failure.ts';
import { createAdminSubject } from './admin-subject.ts';
import { buildInfo } from './build-info.ts';
import { ReplaceableCredentials } from './credentials.ts';
import {
  contentConfig,
  facadeConfig,
  facadeServerConfig,
  manifestConfig,
  transferConfig,
  transferRates,
  type NodeRole,
} from './part-configs.ts';
import { notifyConfig } from './notifications.ts';
import { readNamedFiles, tryPortsOfNewNode } from './preflight.ts';
import { openHosted, type HostedParts } from './hosted-parts.ts';
import { connectionsWithin, openFileLimit } from './open-files.ts';
import { createPreheating } from './preheating.ts';
import { planReload, type ReloadPlan } from './reload.ts';
import { createPushTarget } from './push-target.ts';
import { openSeedGround, type SeedGround } from './seed-parts.ts';
import { openSwarmParts, type SwarmParts } from './swarm-parts.ts';
import { openTorrents, type Torrents } from './torrents.ts';
import { originConfig } from './upstream-table.ts';

/** What the process supplies. */
export interface NodeDeps {
  readonly log: Logger;
  readonly version: string;
  /** What it is to be; a plain node when left out. */
  readonly role?: NodeRole | undefined;
}

/** Where a running node can be reached. */
export interface NodeAddresses {
  readonly facade: HostPort;
  readonly admin: HostPort;
  readonly swarm: HostPort | undefined;
  readonly data: HostPort | undefined;
}

/** A node at work. Whoever started it closes it. */
export interface RunningNode extends AsyncDisposable {
  readonly addresses: NodeAddresses;
  readonly peerId: string;
  /** The configuration in force. */
  config(): NodeConfig;
  /**
   * Applies what can be changed at run time, and answers what was applied and what has to wait for a restart.
   * @throws {DockyardError} and changes nothing when a file that the configuration names is wrong
   */
  reload(next: NodeConfig): Promise<ReloadPlan>;
  /**
   * Stops to take requests, lets running ones end for `graceMs` (`http.shutdownGrace` when left out), then ends everything.
   * A later call may shorten the wait.
   */
  close(graceMs?: number): Promise<void>;
}

/** Memory for pieces that are on their way, besides those that are kept for a while. */
const MOVING_BYTES = 48 * 1024 * 1024;

/** How finely the delay of the event loop is measured. Each time wakes the process, an idle one too. */
const EVENT_LOOP_PRECISION_MS = 100;

/**
 * Starts a node. What can be checked without the disk is checked first.
 * @throws {DockyardError} of whichever part cannot start; nothing is left running then
 */
export async function startNode({ log, version, role = 'node' }: NodeDeps, config: NodeConfig): Promise<RunningNode> {
  refuseForeignOptions(role, config);
  const files = await readNamedFiles(config, log);
  const { swarmKey } = files;
  await tryPortsOfNewNode(config);
  await using starting = new AsyncDisposableStack();
  const current = { config };
  const metrics = createMetrics(version);
  const ground: Ground = { log, metrics, random: Math.random };

  const credentials = new ReplaceableCredentials({ log, clock: steadyClock }, config.credentials.dockerConfig);
  // Made before the disk is touched, since it may refuse its configuration; it has nothing to close until it is asked.
  const origin = new OriginRegistry({ ...ground, clock: steadyClock, credentials }, files.origin);

  const memory = new BufferPool(transferConfig(config).recentPiecesBytes + MOVING_BYTES);
  const content = starting.use(
    await openContent({ ...ground, clock: systemClock, memory }, contentConfig(config, role)),
  );
  starting.use(origin);
  const seed =
    role === 'seed' ? starting.use(await openSeedGround({ ...ground, content, memory }, config, files)) : undefined;

  const store = seed?.store ?? content.blobs;
  const swarm = starting.use(await openSwarmParts({ ...ground, store, memory, swarmKey, clock: steadyClock }, config));
  const { dataPlane, members, discoveries } = swarm;

  const sizes = new BlobSizeHints();
  const below = { dataPlane, store, manifests: content.manifests, origin, sizes, members, discoveries };
  const transfer = starting.use(createTransfer({ ...ground, ...below, clock: steadyClock }, transferConfig(config)));
  swarm.onMembersChanged(() => transfer.onMembersChanged());

  const hosted = seed && starting.use(await openHosted({ ...ground, seed, transfer, members, origin }, config));
  const manifests = createManifests({ ...ground, origin, transfer, sizes }, () => current.config);
  const now = (): NodeConfig => current.config;
  const torrents = starting.use(await openTorrents({ ...ground, store, seed, transfer, memory, swarmKey }, now));
  const facade = starting.use(createServer({ ...ground, origin, transfer, manifests, seed, hosted, torrents }, now));
  const facadeAddress = await listen(facade, config.listen);

  const subject = createAdminSubject({
    version,
    config: now,
    content,
    members,
    seed,
    transfers: transfer.blobs,
    scrubber: seed && starting.use(seed.startScrubbing(transfer)),
    replication: hosted?.replication,
    preheat: createPreheating({ transfer, members, manifests, origin, hosted: hosted?.registry }, now),
    takeTorrent: torrents?.take,
    upstreams: new OriginProbe({ origin, config: () => current.config }),
    swarmProbe: createEcho(swarm, transfer),
    facade: facadeAddress,
    swarm: swarm.addresses,
    admin: () => admin.address,
  });
  const admin: AdminServer = starting.use(await AdminServer.open({ subject, metrics, log }, { listen: config.admin }));

  const reloadable = { origin, credentials, dataPlane, content, notifier: seed?.notifier, torrents, log };
  const close = closeOnce(facade, starting.move(), () => current.config.http.shutdownGraceMs);
  return {
    addresses: { facade: facadeAddress, admin: admin.address, swarm: undefined, data: undefined, ...swarm.addresses },
    peerId: swarm.peerId,
    config: () => current.config,
    reload: (next) => applyReload(next, current, reloadable),
    close,
    [Symbol.asyncDispose]: () => close(0),
  };
}

function createEcho({ dataPlane, members }: SwarmParts, { peers }: Transfer): SwarmEcho {
  const { random } = Math;
  return new SwarmEcho({ hub: dataPlane.hub, peers, members, clock: steadyClock, randomBytes, random });
}

/** @throws {DockyardError} ERR_CONFIG_INVALID when something is configured that only another kind of node does */
function refuseForeignOptions(
  role: NodeRole,
  { appc, copies, notifications, push, replication, storage }: NodeConfig,
): void {
  const refuse = (message: string): never => {
    throw nodeError('ERR_CONFIG_INVALID', message);
  };
  if (role === 'seed') {
    if (push.to.length > 0) refuse('push.to is for plain nodes: a seed keeps what is pushed to it');
    return;
  }
  if (storage.driver !== 'filesystem')
    refuse('storage.driver is for seeds: a plain node keeps nothing for good; start it with `dockyard seed`');
  if (copies.minimum.length > 0) refuse('copies.minimum is for seeds: give it to the seed that takes the pushes');
  if (replication.from.length > 0)
    refuse('replication.from is for seeds: a plain node names the seeds that it passes pushes on to in push.to');
  if (appc.enabled) refuse('appc.enabled is for seeds: start it with `dockyard seed`');
  if (notifications.endpoints.length > 0)
    refuse('notifications.endpoints are for seeds: give them to the seed that takes the pushes');
}

/** What every part is given. */
interface Ground {
  readonly log: Logger;
  readonly metrics: Registry;
  readonly random: () => number;
}

interface ServedParts extends Ground {
  readonly origin: OriginRegistry;
  readonly transfer: Transfer;
  readonly manifests: OriginManifestService;
  /** What a seed has beside a node. */
  readonly seed: SeedGround | undefined;
  readonly hosted: HostedParts | undefined;
  readonly torrents: Torrents | undefined;
}

/** Manifests of upstreams, from wherever they can be had. */
function createManifests(
  parts: Ground & { readonly origin: OriginRegistry; readonly transfer: Transfer; readonly sizes: BlobSizeHints },
  config: () => NodeConfig,
): OriginManifestService {
  const { manifests: store, peerManifests: peers } = parts.transfer;
  return new OriginManifestService({ ...parts, store, peers, clock: systemClock }, manifestConfig(config));
}

/** The registry for clients, over manifests, blobs and lists. */
function createServer(parts: ServedParts, config: () => NodeConfig): FacadeServer {
  const { log, metrics, origin, transfer, manifests, seed, hosted, torrents } = parts;
  const { manifests: store } = transfer;
  // A seed keeps what it is given.
  const pushTarget = seed === undefined ? createPushTarget({ origin, manifests: store }, config().push.to) : undefined;
  const facade = createFacade(
    {
      blobs: seed?.vouchedBlobs(transfer, origin) ?? transfer.blobs,
      manifests,
      lists: new OriginListService({ origin }),
      hosted: hosted?.registry,
      sideDoors: hosted?.sideDoors,
      listener: hosted?.listener,
      torrents: torrents?.service,
      upstreamNames: () => origin.upstreams,
      pushTarget: () => pushTarget,
      log,
      metrics,
      clock: { nowMs: () => performance.now() },
      newRequestId: () => randomBytes(9).toString('base64url'),
    },
    facadeConfig(config()),
  );
  const onClosing = (): void => hosted?.endWaiting();
  const limits = facadeServerConfig(config(), seed === undefined ? 'node' : 'seed');
  const maxConnections = connectionsWithin(openFileLimit(), limits.maxConnections, log);
  return new FacadeServer({ facade, log, onClosing }, { ...limits, maxConnections });
}

function createMetrics(version: string): Registry {
  const metrics = new Registry();
  collectDefaultMetrics({ register: metrics, eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS });
  metrics.registerMetric(buildInfo(version));
  return metrics;
}

async function listen(server: FacadeServer, address: HostPort): Promise<HostPort> {
  try {
    const { port } = await server.open(address);
    return { host: address.host, port };
  } catch (cause) {
    throw listenFailure('registry', address, cause);
  }
}

interface Reloadable {
  readonly origin: OriginRegistry;
  readonly credentials: ReplaceableCredentials;
  readonly dataPlane: DataPlane;
  readonly content: OpenedContent;
  readonly notifier: Notifier | undefined;
  readonly torrents: Torrents | undefined;
  readonly log: Logger;
}

async function applyReload(next: NodeConfig, current: { config: NodeConfig }, parts: Reloadable): Promise<ReloadPlan> {
  const plan = planReload(current.config, next);
  // The steps that can fail come first, so that a wrong file leaves everything as it was.
  const notify = await notifyConfig(plan.config);
  parts.origin.reconfigure(await originConfig(plan.config));
  await parts.notifier?.reconfigure(notify);
  parts.credentials.use(plan.config.credentials.dockerConfig);
  const { uploadRateBytesPerSecond, downloadRateBytesPerSecond } = transferRates(plan.config);
  parts.dataPlane.uploadRate.setRate(uploadRateBytesPerSecond);
  parts.dataPlane.downloadRate.setRate(downloadRateBytesPerSecond);
  await parts.torrents?.useRates(plan.config);
  parts.log.level = plan.config.log.level;
  current.config = plan.config;
  // Last, since it may take a while until all that is beyond the limits is off the disk.
  await parts.content.setLimits(contentConfig(plan.config));
  return plan;
}

function closeOnce(
  server: FacadeServer,
  running: AsyncDisposableStack,
  usualGraceMs: () => number,
): (graceMs?: number) => Promise<void> {
  let closing: Promise<void> | undefined;
  return (graceMs = usualGraceMs()) => {
    // A later call shortens the wait of an earlier one.
    const drained = server.close(graceMs);
    closing ??= drained.then(() => running.disposeAsync());
    return closing;
  };
}
