/** The options of app container images (rkt's kind) on a seed. */
import { path, toggle, url } from './kinds.ts';
import { group, list, option, optional, type GroupSpec } from './option.ts';

const options = {
  enabled: option(toggle(), {
    summary:
      'Whether this seed serves and takes app container images; repositories below `appc/` are theirs alone then.',
    default: false,
  }),
  url: optional(url(['https', 'http'], 'https://images.example.com'), {
    summary:
      'Where clients reach this seed: what its discovery pages lead to. With `https` something before the seed speaks TLS, and passes the `Host` on.',
    unset: 'the host that a client asks, by plain http',
  }),
  keys: list(path('FILE'), {
    summary: 'Public keys, as `gpg --export` writes them, whose signatures are taken; they are served to clients too.',
  }),
  unsigned: option(toggle(), {
    summary: 'Whether images are taken without a signature.',
    default: false,
  }),
  users: optional(path('FILE'), {
    summary: 'Who may push: a line `name:password` for each. Passwords are taken over https, or from this machine.',
    unset: 'whoever reaches the seed',
  }),
};

/** The group. */
export const appcOptions: GroupSpec<typeof options> = group("App container images, rkt's kind, on a seed.", options);
