/** The options of an upstream registry. */
import { DOCKER_HUB } from '../../src/oci/docker-hub.ts';
import { count, duration, host, path, text, toggle, url } from './kinds.ts';
import { list, option, optional, optionFrom, type NamedSpec } from './option.ts';

/** The upstream that is there without any configuration, and where it is. */
const BUILT_IN_UPSTREAM = DOCKER_HUB;

const upstreamOptions = {
  url: optionFrom(url(['https', 'http'], 'https://ghcr.io'), {
    summary: 'Where the registry is; plain HTTP is used only when it stands here.',
    defaultText: '`https://NAME`; for `docker.io`, `https://registry-1.docker.io`',
    defaultFrom: (context) => {
      const name = context.earlier('name') as string;
      return name === BUILT_IN_UPSTREAM.name ? BUILT_IN_UPSTREAM.url : `https://${name}`;
    },
    reloadable: true,
  }),
  repositoryPrefix: optional(text('PATH', 255), {
    summary: 'Put before every repository name, as for a proxy project of Harbor.',
    unset: 'none',
    reloadable: true,
  }),
  username: optional(text('NAME', 1024), {
    summary: 'The account to use there.',
    unset: "anonymous, or what Docker's configuration holds for the registry",
    reloadable: true,
  }),
  password: optional(text('TEXT', 65_536), {
    summary: 'The password of the account; `passwordFile` keeps it out of this file.',
    unset: 'none',
    reloadable: true,
    secret: true,
  }),
  passwordFile: optional(path('FILE'), {
    summary: 'A file whose first line is the password; read again on every reload.',
    unset: 'none',
    reloadable: true,
  }),
  token: optional(text('TEXT', 65_536), {
    summary: 'A bearer token to send instead of an account.',
    unset: 'none',
    reloadable: true,
    secret: true,
  }),
  ca: optional(path('FILE'), {
    summary: "PEM certificates to trust for this registry, besides the system's.",
    unset: 'none',
    reloadable: true,
  }),
  connectTimeout: option(duration({ min: 100, max: 300_000 }), {
    summary: 'How long a connection may take to come about.',
    default: 5_000,
    reloadable: true,
  }),
  stallTimeout: option(duration({ min: 100, max: 600_000 }), {
    summary: 'How long an answer may make no progress before it is resumed on a new connection.',
    default: 10_000,
    reloadable: true,
  }),
  maxConnections: option(count({ min: 1, max: 1024 }), {
    summary: 'Blobs read from the registry at once; further ones wait.',
    default: 64,
    reloadable: true,
  }),
  tokenHosts: list(host(), {
    summary:
      'Hosts of token servers that may be given the credentials although they are not of the domain of the registry.',
    reloadable: true,
  }),
  allowPrivateRedirects: option(toggle(), {
    summary: 'Whether a registry on a public address may redirect to private and link-local addresses.',
    default: false,
    reloadable: true,
  }),
};

/** The map of upstreams by name. */
export const upstreams: NamedSpec<typeof upstreamOptions> = {
  type: 'named',
  summary:
    'Registries to pull from, by the name that stands in image references. The first one given is where a name without a host goes.',
  flag: 'upstream',
  mainKey: 'url',
  namePattern: /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/,
  nameAllowed: 'the host of a registry as it stands in image references, such as ghcr.io or registry.lan:5000',
  entry: upstreamOptions,
  builtIn: [BUILT_IN_UPSTREAM.name],
  defaultText: `${BUILT_IN_UPSTREAM.name}=${BUILT_IN_UPSTREAM.url}`,
};
