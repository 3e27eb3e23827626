/** What happened to an image, as whoever saw it tells it. Only what is known is set. */

/** What was done. */
export const EVENT_ACTIONS = ['push', 'pull', 'mount', 'delete'] as const;

export type EventAction = (typeof EVENT_ACTIONS)[number];

/** One thing that happened. */
export interface RegistryEvent {
  readonly action: EventAction;
  readonly repository: string;
  readonly digest?: string | undefined;
  readonly tag?: string | undefined;
  /** Of a manifest; blobs have none that a registry knows. */
  readonly mediaType?: string | undefined;
  readonly sizeBytes?: number | undefined;
  /** Where a blob was mounted from. */
  readonly fromRepository?: string | undefined;
  /** Of a manifest that was pushed or pulled. */
  readonly manifestBytes?: Uint8Array | undefined;
  /** Who asked, where that is known. */
  readonly actorName?: string | undefined;
  readonly request: {
    readonly id: string;
    readonly clientAddress?: string | undefined;
    /** The `Host` that the client asked. */
    readonly host?: string | undefined;
    readonly method: string;
    readonly userAgent?: string | undefined;
  };
}
