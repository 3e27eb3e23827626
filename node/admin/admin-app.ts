/** The routes of the admin server. */
import { Readable } from 'node:stream';
import Router from '@koa/router';
import Koa, { type Context, type Next } from 'koa';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { asError, isDockyardError } from '../../src/oci/error.ts';
import { MAX_METAINFO_BYTES } from '../../src/torrent/parse-metainfo.ts';
import { connectionReason } from '../http-call.ts';
import { refusalOfAction } from './local-action.ts';
import type { AdminSubject, ReadinessCheck } from './ports.ts';
import type { ReadinessReport } from './reports.ts';

/** How long one readiness check may take. */
const READINESS_TIMEOUT_MS = 2_000;

/** How long the doctor's checks may take together: a slow upstream and a swarm probe fit in. */
const EXAMINE_TIMEOUT_MS = 30_000;

/** Collaborators of the admin server. */
export interface AdminDeps {
  readonly subject: AdminSubject;
  readonly metrics: Registry;
  readonly log: Logger;
}

/** Makes the application; the server around it is AdminServer. */
export function createAdminApp(deps: AdminDeps): Koa {
  const app = new Koa();
  app.silent = true;
  app.use((context, next) => answerErrors(deps.log, context, next));
  const router = new Router();
  addProbes(router, deps);
  addReports(router, deps);
  addActions(router, deps);
  addSeedActions(router, deps);
  app.use(router.routes()).use(router.allowedMethods());
  return app;
}

async function answerErrors(log: Logger, context: Context, next: Next): Promise<void> {
  try {
    await next();
  } catch (error) {
    context.status = isDockyardError(error, 'ERR_WEBHOOK_UNKNOWN') ? 404 : 500;
    if (context.status === 500) log.error({ err: error, path: context.path }, 'admin request failed');
    const code = isDockyardError(error) ? error.code : 'ERR_INTERNAL';
    context.body = { error: { code, message: isDockyardError(error) ? error.message : 'see the log of the node' } };
  }
}

function addProbes(router: Router, { subject, metrics }: AdminDeps): void {
  router.get('/livez', (context) => {
    context.body = 'ok\n';
  });
  router.get('/readyz', async (context) => {
    const report = await askReadiness(subject.readiness);
    context.status = report.ready ? 200 : 503;
    context.body = report;
  });
  router.get('/metrics', async (context) => {
    context.type = metrics.contentType;
    context.body = await metrics.metrics();
  });
}

function addReports(router: Router, { subject }: AdminDeps): void {
  router.get('/status', async (context) => {
    context.body = await subject.status();
  });
  router.get('/peers', (context) => {
    context.body = subject.peers();
  });
  router.get('/pulls', (context) => {
    context.body = subject.transfers.reports().ended;
  });
  router.get('/replication', (context) => {
    context.body = subject.replication?.report() ?? [];
  });
  router.get('/webhooks', (context) => {
    context.body = subject.webhooks();
  });
  router.get('/webhooks/dead-letters', (context) => {
    sendLines(context, subject.deadLetters());
  });
  router.get('/blobs', (context) => {
    // One blob to a line: a node may hold a hundred thousand, and the list is never in memory as one text.
    sendLines(context, subject.blobs());
  });
}

function addActions(router: Router, { subject, log }: AdminDeps): void {
  let verifying = false;
  router.post('/verify', localOnly, (context) => {
    if (verifying) {
      context.status = 409;
      context.body = { error: { code: 'ERR_BUSY', message: 'the blobs are being verified already' } };
      return;
    }
    verifying = true;
    const ended = endOfResponse(context);
    sendLines(context, subject.verify({ signal: ended }), (error) => {
      verifying = false;
      if (error !== undefined && !ended.aborted) log.error({ err: error }, 'verifying blobs failed');
    });
  });
  router.post('/preheat', localOnly, (context) => {
    const query = new URLSearchParams(context.querystring);
    const request = {
      image: query.get('image') ?? '',
      nodes: query.getAll('node'),
      platforms: query.getAll('platform'),
    };
    const ended = endOfResponse(context);
    sendLines(context, subject.preheat(request, { signal: ended }));
  });
  router.post('/torrents', localOnly, async (context) => {
    if (subject.takeTorrent === undefined) {
      context.status = 404;
      context.body = { error: { code: 'ERR_TORRENTS_OFF', message: 'torrents are switched off on this node' } };
      return;
    }
    const peers = new URLSearchParams(context.querystring).getAll('peer');
    const torrent = await readAtMost(context.req, MAX_METAINFO_BYTES + 1);
    sendLines(context, subject.takeTorrent({ torrent, peers }, { signal: endOfResponse(context) }));
  });
  router.post('/doctor', localOnly, async (context) => {
    const signal = AbortSignal.any([endOfResponse(context), AbortSignal.timeout(EXAMINE_TIMEOUT_MS)]);
    context.body = await subject.examine({ signal });
  });
}

/** What only a seed does. */
function addSeedActions(router: Router, { subject, log }: AdminDeps): void {
  router.post('/gc', localOnly, (context) => {
    if (subject.collect === undefined) {
      context.status = 404;
      context.body = {
        error: { code: 'ERR_NOT_A_SEED', message: 'this node is not a seed: it collects its cache itself' },
      };
      return;
    }
    const ended = endOfResponse(context);
    const dryRun = context.query['dry-run'] === 'true';
    sendLines(context, subject.collect({ dryRun, signal: ended }), (error) => {
      if (error !== undefined && !ended.aborted) log.error({ err: error }, 'garbage could not be collected');
    });
  });
  router.post('/replication/compare', localOnly, (context) => {
    if (subject.replication === undefined) {
      context.status = 404;
      context.body = { error: { code: 'ERR_NOT_A_SEED', message: 'this node is not a seed: it follows nobody' } };
      return;
    }
    subject.replication.compare();
    context.body = { seeds: subject.replication.report().map(({ seed }) => seed) };
  });
  router.post('/webhooks/:name/retry', localOnly, async (context) => {
    context.body = await subject.retryWebhook(context.params['name'] ?? '');
  });
}

async function localOnly(context: Context, next: Next): Promise<void> {
  const refusal = refusalOfAction({
    remoteAddress: context.req.socket.remoteAddress,
    origin: context.req.headers.origin,
  });
  if (refusal === undefined) {
    await next();
    return;
  }
  context.status = 403;
  context.body = { error: { code: 'ERR_FORBIDDEN', message: refusal } };
}

/** The beginning of a body; more of it than is allowed is refused by who reads it. */
async function readAtMost(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    // Read to its end all the same, or there would be nobody to answer to.
    if (sizeBytes < maxBytes) chunks.push(chunk.subarray(0, maxBytes - sizeBytes));
    sizeBytes += chunk.length;
  }
  return Buffer.concat(chunks);
}

/** A signal that is raised when the client has gone or has its answer. */
function endOfResponse(context: Context): AbortSignal {
  const controller = new AbortController();
  context.res.once('close', () => controller.abort());
  return controller.signal;
}

/** Answers with one JSON document to a line; a source that fails ends the answer with a line `{"error":…}`. */
function sendLines(
  context: Context,
  source: Iterable<unknown> | AsyncIterable<unknown>,
  onEnd: (error: unknown) => void = () => undefined,
): void {
  async function* lines(): AsyncGenerator<string> {
    let failure: unknown;
    try {
      for await (const item of source) yield `${JSON.stringify(item)}\n`;
    } catch (error) {
      failure = error;
      const code = isDockyardError(error) ? error.code : 'ERR_INTERNAL';
      yield `${JSON.stringify({ error: { code, message: asError(error).message } })}\n`;
    } finally {
      onEnd(failure);
    }
  }
  context.type = 'application/x-ndjson';
  context.body = Readable.from(lines());
}

/** Asks all checks at once; one that takes too long is not ready. */
export async function askReadiness(checks: readonly ReadinessCheck[]): Promise<ReadinessReport> {
  const results = await Promise.all(
    checks.map(async (readiness) => {
      const { name } = readiness;
      try {
        return {
          name,
          ready: true,
          seen: await readiness.check({ signal: AbortSignal.timeout(READINESS_TIMEOUT_MS) }),
        };
      } catch (error) {
        return { name, ready: false, seen: connectionReason(error) };
      }
    }),
  );
  return { ready: results.every((result) => result.ready), checks: results };
}
