import fc from 'fast-check';
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { readContainerdConfig, setConfigPath } from '../../../../node/mirror/containerd-config.ts';
import { addHost, hasHost } from '../../../../node/mirror/hosts-toml.ts';
import { renderDropIn } from '../../../../node/mirror/registries-conf.ts';
import { withoutMarkedBlocks } from '../../../../node/mirror/toml-edit.ts';

const url = 'http://127.0.0.1:5000';
const path = 'hosts.toml';

describe('hosts.toml', () => {
  test('a new file names the node alone and no server, so that the registry stays the last resort', () => {
    expect(parse(addHost(undefined, path, url))).toEqual({
      host: { [url]: { capabilities: ['pull', 'resolve'], dial_timeout: '200ms' } },
    });
  });

  test('the node comes before the hosts that were there, and comments stay with what they explain', () => {
    const text =
      'server = "https://r"\n\n# ours since 2020\n[host."https://a"]\n  capabilities = ["pull"]\n\n[host."https://b"]\n';
    const edited = addHost(text, path, url);
    expect(Object.keys(parse(edited)['host'] as object)).toEqual([url, 'https://a', 'https://b']);
    expect(edited.indexOf('# dockyard: end')).toBeLessThan(edited.indexOf('# ours since 2020'));
    expect(withoutMarkedBlocks(edited)).toBe(text);
  });

  test('lines that only look like tables are passed over', () => {
    const text = 'note = """\n[host.x]\n"""\nca = [\n[ "a" ],\n]\n[host."https://a"]\n';
    const edited = addHost(text, path, url);
    expect(edited.startsWith('note = """\n[host.x]\n"""\nca = [\n[ "a" ],\n]\n# dockyard')).toBe(true);
  });

  test('a node that is named already stays where it is', () => {
    const text = `[host."https://a"]\n[host."${url}"]\n`;
    expect(addHost(text, path, url)).toBe(text);
    expect(hasHost(text, path, url)).toBe(true);
  });

  test('hosts in a form that cannot be extended are refused, with the lines to add by hand', () => {
    expect(() => addHost('host = { "https://a" = {} }\n', path, url)).toThrow(
      expect.objectContaining({ code: 'ERR_MIRROR_UNEDITABLE', message: expect.stringContaining('dial_timeout') }),
    );
    expect(() => addHost('server = \n', path, url)).toThrow(expect.objectContaining({ code: 'ERR_MIRROR_UNEDITABLE' }));
  });

  test('any file keeps what it says, and is the same to the byte once our lines are gone', () => {
    const line = fc.constantFrom('', '# c', '  # [host.x]', '[x]');
    const host = fc.record({
      name: fc.constantFrom('a', 'b', 'c:5', '[::1]'),
      lines: fc.array(fc.constantFrom('  skip_verify = true', '# c', ''), { maxLength: 2 }),
    });
    const file = fc.tuple(
      fc.constantFrom('', 'server = "https://r"\n', 'ca = [\n  "x",\n  "[y]"\n]\n', '# top\n\n'),
      fc.uniqueArray(host, { selector: ({ name }) => name }),
      line,
      fc.constantFrom('', '\n'),
    );
    fc.assert(
      fc.property(file, ([top, hosts, last, end]) => {
        const tables = hosts.map(({ name, lines }) => [`[host."https://${name}"]`, ...new Set(lines)].join('\n'));
        const text = top + tables.join('\n') + (tables.length === 0 ? '' : '\n') + last + end;
        const edited = addHost(text, path, url);
        expect(Object.keys(parse(edited)['host'] as object)).toEqual([
          url,
          ...hosts.map(({ name }) => `https://${name}`),
        ]);
        expect(withoutMarkedBlocks(edited).trimEnd()).toBe(text.trimEnd());
      }),
    );
  });

  test('a block whose end someone removed is left alone', () => {
    const edited = addHost('[host."https://a"]\n', path, url).replace('# dockyard: end\n', '');
    expect(withoutMarkedBlocks(edited)).toBe(edited);
  });
});

describe('config.toml of containerd', () => {
  const debian =
    'version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/x"\n';

  test.each([
    ['no file', undefined],
    ['no registry table', debian],
    [
      'a registry table',
      `${debian}    [plugins."io.containerd.grpc.v1.cri".registry]\n      [plugins."io.containerd.grpc.v1.cri".registry.configs]\n`,
    ],
    ['version 3', "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n"],
  ])('with %s, config_path is set and nothing else changes', (_, text) => {
    const edited = setConfigPath(text, 'config.toml', '/etc/containerd/certs.d');
    expect(readContainerdConfig(edited, 'config.toml').certsDirectory).toBe('/etc/containerd/certs.d');
    if (text !== undefined) expect(withoutMarkedBlocks(edited)).toBe(text);
  });

  test('the first folder of a list counts', () => {
    const text = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/a:/b"\n';
    expect(readContainerdConfig(text, 'x').certsDirectory).toBe('/a');
  });

  test.each(['[plugins.cri]\n', 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors]\n'])(
    '%j is refused',
    (text) => {
      expect(() => setConfigPath(text, 'x', '/etc/containerd/certs.d')).toThrow(
        expect.objectContaining({ code: 'ERR_MIRROR_UNEDITABLE' }),
      );
    },
  );
});

describe('the drop-in for registries.conf', () => {
  test('what other files say of a registry is carried over, the node in front of its mirrors', () => {
    const others = [
      {
        path: 'a',
        text: '[[registry]]\nlocation = "r.lan:5000"\ninsecure = true\n[[registry.mirror]]\nlocation = "m.lan"\n',
      },
    ];
    expect(parse(renderDropIn(['docker.io', 'r.lan:5000'], url, others))).toEqual({
      registry: [
        {
          prefix: 'docker.io',
          location: 'docker.io',
          mirror: [{ location: '127.0.0.1:5000/docker.io', insecure: true }],
        },
        {
          prefix: 'r.lan:5000',
          location: 'r.lan:5000',
          insecure: true,
          mirror: [{ location: '127.0.0.1:5000/r.lan:5000', insecure: true }, { location: 'm.lan' }],
        },
      ],
    });
  });
});
