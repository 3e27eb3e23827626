// Imports run downward only: node → tracker, registry, appc, notify, replication → transfer, seed, images → storage, catalog → swarm, torrent, origin, content → oci, bencode.
// The tracker is a process of its own, and the command line starts it too.
// Rooms on the same floor do not import each other.

/** Each floor of the house, top first. */
const floors = [
  ['node'],
  ['tracker', 'src/registry', 'src/appc', 'src/notify', 'src/replication'],
  ['src/transfer', 'src/seed', 'src/images'],
  // Above content, in whose files the driver for a disk keeps what was pushed: nothing is to lie there twice.
  ['src/storage', 'src/catalog'],
  ['src/swarm', 'src/torrent', 'src/origin', 'src/content'],
  ['src/oci', 'src/bencode'],
];

const inside = (rooms) => `^(${rooms.join('|')})/`;

/** One rule for each room: it may import itself and the floors below. */
const floorRules = floors.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    name: `${room.replace('src/', '')}-imports-downward`,
    comment: `${room} may import only what stands below it.`,
    severity: 'error',
    from: { path: inside([room]) },
    to: {
      path: inside(
        floors
          .slice(0, floor + 1)
          .flat()
          .filter((other) => other !== room),
      ),
    },
  })),
);

module.exports = {
  forbidden: [
    ...floorRules,
    {
      name: 'product-without-tests',
      comment: 'What is published never imports tests, benchmarks or scripts.',
      severity: 'error',
      from: { path: '^(src|node|tracker)/' },
      to: { path: '^(test|scripts)/' },
    },
    {
      name: 'no-cycle',
      comment: 'Two modules that need each other are one module, or lack a third.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-development-dependency',
      comment: 'What is published may not need a package that is only installed for development.',
      severity: 'error',
      from: { path: '^(src|node|tracker)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: 'node_modules/@types/' },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that leads nowhere.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'room-without-a-floor',
      comment: 'A new folder under src/ needs a place in the list of floors in this file.',
      severity: 'error',
      from: { path: '^src/', pathNot: inside(floors.flat()) },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|coverage|\\.runtime|\\.bench)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
