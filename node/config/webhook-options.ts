/** The options of a webhook endpoint. */
import { choice, count, duration, header, path, text, toggle, url } from './kinds.ts';
import { group, list, option, optional, type NamedSpec } from './option.ts';

const endpointOptions = {
  url: optional(url(['https', 'http'], 'https://ci.example.com/hooks/registry', { withQuery: true }), {
    summary: 'Where events are posted to.',
    unset: 'none; every endpoint needs one',
  }),
  disabled: option(toggle(), {
    summary: 'Whether the endpoint is told nothing for now; what waits for it is kept.',
    default: false,
  }),
  headers: list(header(), {
    summary: 'Headers that are sent along, such as `Authorization: Bearer …`.',
    secret: true,
  }),
  secret: optional(text('TEXT', 1024), {
    summary:
      'The key of signatures; `secretFile` keeps it out of this file. One that begins with `whsec_` is in base64.',
    unset: 'none: deliveries are not signed',
    secret: true,
  }),
  secretFile: optional(path('FILE'), {
    summary: 'A file whose first line is the key of signatures.',
    unset: 'none',
  }),
  ca: optional(path('FILE'), {
    summary: "PEM certificates to trust for this endpoint, besides the system's.",
    unset: 'none',
  }),
  timeout: option(duration({ min: 50, max: 300_000 }), {
    summary: 'How long one delivery may take.',
    default: 5_000,
  }),
  threshold: option(count({ min: 1, max: 1_000_000 }), {
    summary: 'Failures in a row from which on there is a pause before each try, and a refused event is given up.',
    default: 10,
  }),
  backoff: option(duration({ min: 1, max: 3_600_000 }), {
    summary: 'That pause.',
    default: 10_000,
  }),
  giveUpAfter: option(duration({ min: 1_000 }), {
    summary: 'How old an event may get before it is given up and becomes a dead letter.',
    default: 24 * 3_600_000,
  }),
  maxPending: option(count({ min: 1, max: 10_000_000 }), {
    summary: 'Events that may wait; beyond that the oldest becomes a dead letter.',
    default: 10_000,
  }),
  maxDeadLetters: option(count({ min: 0, max: 10_000_000 }), {
    summary: 'Dead letters that are kept; beyond that the oldest is forgotten.',
    default: 1_000,
  }),
  allowPrivate: option(toggle(), {
    summary: 'Whether the endpoint may be at a private, loopback or link-local address.',
    default: false,
  }),
  ignore: group('What the endpoint is not told of.', {
    mediaTypes: list(text('TYPE', 255), { summary: 'Media types of content that the endpoint is not told of.' }),
    actions: list(choice(['push', 'pull', 'mount', 'delete']), {
      summary: 'Actions that the endpoint is not told of.',
    }),
  }),
};

/** The map of webhook endpoints by name. */
export const webhookEndpoints: NamedSpec<typeof endpointOptions> = {
  type: 'named',
  summary:
    'Who is told by HTTP of pushes, pulls, mounts and deletes in the repositories of this seed, in the envelope of the distribution registry.',
  flag: 'webhook',
  mainKey: 'url',
  namePattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  nameAllowed: 'letters, digits, dots, dashes and underscores, 64 at most',
  entry: endpointOptions,
  builtIn: [],
  defaultText: 'none',
};
