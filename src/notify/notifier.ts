/**
 * Notifications: what happened to images is told to the endpoints that the operator configured. An event is durable when
 * `onEvent` resolves, and is delivered at least once, in order for each endpoint, until it is delivered or given up; its id
 * stays the same, so that receivers can tell repetitions.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { Courier, type CourierDeps, type CourierState } from './courier.ts';
import { checkEndpoint, type EndpointConfig, type NotifyConfig } from './endpoint-config.ts';
import { wireEvent, type EventSource } from './envelope.ts';
import { notifyError } from './errors.ts';
import { EventQueue, type DeadLetter } from './event-queue.ts';
import { NotifyMetrics } from './notify-metrics.ts';
import { Outbox } from './outbox.ts';
import type { RegistryEvent } from './registry-event.ts';
import { Sender, type ResolveHost } from './sender.ts';

export interface NotifierDeps {
  readonly log: Logger;
  readonly metrics: Registry;
  readonly clock: CourierDeps['clock'];
  readonly resolveHost: ResolveHost;
  readonly newId: () => string;
  readonly source: EventSource;
}

/** An endpoint as operators see it. */
export interface EndpointReport extends CourierState {
  readonly name: string;
  readonly url: string;
  readonly disabled: boolean;
  readonly pendingCount: number;
  readonly deadLetterCount: number;
}

interface Endpoint {
  readonly config: EndpointConfig;
  readonly queue: EventQueue;
  /** Absent while it is disabled. */
  readonly courier: Courier | undefined;
}

const AT_REST: CourierState = {
  failuresInARow: 0,
  lastFailure: undefined,
  lastFailureAtMs: undefined,
  lastDeliveryAtMs: undefined,
};

/** Whoever opens it closes it. */
export class Notifier implements AsyncDisposable {
  readonly #deps: NotifierDeps;
  readonly #outbox: Outbox;
  readonly #metrics: NotifyMetrics;
  readonly #endpoints = new Map<string, Endpoint>();
  #config: NotifyConfig;
  #closing: Promise<void> | undefined;

  private constructor(deps: NotifierDeps, outbox: Outbox, config: NotifyConfig) {
    this.#deps = deps;
    this.#outbox = outbox;
    this.#metrics = new NotifyMetrics(deps.metrics);
    this.#config = config;
  }

  /**
   * Opens the outbox in `folder` and goes on with what an earlier process left.
   * @throws {DockyardError} ERR_WEBHOOK_INVALID; ERR_STORE_LOCKED, ERR_STORE_IO, ERR_STORE_FULL of the outbox
   */
  static async open(folder: string, deps: NotifierDeps, config: NotifyConfig): Promise<Notifier> {
    config.endpoints.forEach(checkEndpoint);
    await using opening = new AsyncDisposableStack();
    const outbox = opening.use(await Outbox.open(folder, deps.log));
    const notifier = new Notifier(deps, outbox, config);
    opening.defer(() => notifier.#stop([...notifier.#endpoints.keys()]));
    for (const endpoint of config.endpoints) await notifier.#start(endpoint);
    await notifier.#forgetOthers();
    opening.move();
    return notifier;
  }

  /** Writes an event down for every endpoint that wants it. Never throws: what cannot be written is logged and counted. */
  async onEvent(event: RegistryEvent): Promise<void> {
    const { newId, clock, source } = this.#deps;
    const facts = {
      id: newId(),
      atMs: clock.nowMs(),
      source,
      includeReferences: this.#config.includeReferences,
    };
    const text = JSON.stringify(wireEvent(event, facts));
    await Promise.all(
      [...this.#endpoints.values()].map(async (endpoint) => await this.#queue(endpoint, event, text, facts.atMs)),
    );
  }

  /** The endpoints, in the order of the configuration. */
  report(): EndpointReport[] {
    return [...this.#endpoints.values()].map(({ config, queue, courier }) => ({
      name: config.name,
      url: config.url,
      disabled: config.disabled,
      pendingCount: queue.pendingCount,
      deadLetterCount: queue.deadCount,
      ...(courier?.state ?? AT_REST),
    }));
  }

  /** What was given up, of one endpoint or of all. @throws {DockyardError} ERR_WEBHOOK_UNKNOWN */
  async *deadLetters(name?: string): AsyncGenerator<DeadLetter & { readonly endpoint: string }> {
    for (const { config, queue } of name === undefined ? this.#endpoints.values() : [this.#require(name)]) {
      for await (const letter of queue.deadLetters()) yield { endpoint: config.name, ...letter };
    }
  }

  /** Tries what was given up once more, and answers how many events that are. @throws {DockyardError} ERR_WEBHOOK_UNKNOWN */
  async retryDeadLetters(name: string): Promise<number> {
    const { queue, courier, config } = this.#require(name);
    const count = await queue.revive();
    this.#showLengths(config.name, queue);
    courier?.wake();
    return count;
  }

  /** Takes over changed endpoints; the others go on undisturbed. @throws {DockyardError} ERR_WEBHOOK_INVALID, and changes nothing then */
  async reconfigure(next: NotifyConfig): Promise<void> {
    next.endpoints.forEach(checkEndpoint);
    const isProxySame = isDeepStrictEqual(next.proxy, this.#config.proxy);
    const wanted = new Map(next.endpoints.map((endpoint) => [endpoint.name, endpoint]));
    const changed = [...this.#endpoints.keys()].filter(
      (name) => !isProxySame || !isDeepStrictEqual(this.#endpoints.get(name)?.config, wanted.get(name)),
    );
    this.#config = next;
    await this.#stop(changed.filter((name) => !wanted.has(name)));
    for (const endpoint of next.endpoints) {
      const known = this.#endpoints.get(endpoint.name);
      if (known === undefined) await this.#start(endpoint);
      else if (changed.includes(endpoint.name)) await this.#replace(known, endpoint);
    }
    await this.#forgetOthers();
  }

  /** Ends deliveries, leaving what is not delivered for the next process. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#stop([...this.#endpoints.keys()]);
      await this.#outbox.close();
    })();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(config: EndpointConfig): Promise<void> {
    const queue = await EventQueue.load(this.#outbox, config.name, config);
    this.#endpoints.set(config.name, { config, queue, courier: this.#hire(config, queue) });
    this.#showLengths(config.name, queue);
  }

  /** The queue stays, so that no event is missed between the old courier and the new one. */
  async #replace({ queue, courier }: Endpoint, config: EndpointConfig): Promise<void> {
    queue.setLimits(config);
    this.#endpoints.set(config.name, { config, queue, courier: undefined });
    await courier?.close();
    this.#endpoints.set(config.name, { config, queue, courier: this.#hire(config, queue) });
  }

  #hire(config: EndpointConfig, queue: EventQueue): Courier | undefined {
    if (config.disabled) return undefined;
    const { log, clock } = this.#deps;
    const sender = new Sender(this.#deps, config, this.#config.proxy);
    return new Courier({ log, clock, metrics: this.#metrics, queue, sender }, config);
  }

  async #stop(names: readonly string[]): Promise<void> {
    const stopped = names.flatMap((name) => this.#endpoints.get(name) ?? []);
    for (const name of names) this.#endpoints.delete(name);
    await Promise.all(stopped.map(async ({ courier }) => await courier?.close()));
  }

  /** Events for endpoints that are gone would stay for ever. */
  async #forgetOthers(): Promise<void> {
    for (const name of await this.#outbox.endpoints()) {
      if (this.#endpoints.has(name)) continue;
      const queue = await EventQueue.load(this.#outbox, name, { maxPending: 0, maxDeadLetters: 0 });
      const { pendingCount, deadCount } = queue;
      this.#deps.log.warn({ endpoint: name, pendingCount, deadCount }, 'events of a removed webhook endpoint dropped');
      await queue.clear();
      this.#metrics.forget(name);
    }
  }

  async #queue({ config, queue }: Endpoint, event: RegistryEvent, text: string, nowMs: number): Promise<void> {
    const { name } = config;
    if (config.disabled) return;
    if (config.ignoredActions.includes(event.action) || config.ignoredMediaTypes.includes(event.mediaType ?? '')) {
      this.#metrics.event(name, 'ignored');
      return;
    }
    try {
      const { givenUp, forgotten } = await queue.add(text, nowMs);
      this.#metrics.event(name, 'queued');
      for (let index = 0; index < givenUp; index += 1) this.#metrics.event(name, 'given_up');
      for (let index = 0; index < forgotten; index += 1) this.#metrics.event(name, 'lost');
      this.#showLengths(name, queue);
      // Whoever delivers by now: the configuration may have changed meanwhile.
      this.#endpoints.get(name)?.courier?.wake();
    } catch (error) {
      this.#metrics.event(name, 'lost');
      this.#deps.log.error({ err: error, endpoint: name }, 'webhook event lost');
    }
  }

  #showLengths(name: string, queue: EventQueue): void {
    this.#metrics.lengths(name, { pending: queue.pendingCount, deadLetters: queue.deadCount });
  }

  #require(name: string): Endpoint {
    const endpoint = this.#endpoints.get(name);
    if (endpoint !== undefined) return endpoint;
    throw notifyError('ERR_WEBHOOK_UNKNOWN', `no webhook endpoint is called '${name}'`);
  }
}
