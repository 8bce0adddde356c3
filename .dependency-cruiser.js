/**
 * The directions of imports (`npm run boundaries`): apps -> services -> packages -> npm, packages only to packages
 * below them, and a context's domain only to the contract, the kernel and the types of an aggregate.
 * scripts/boundaries.test.ts shows that each rule works.
 *
 * swc parses the sources, because TypeScript 7 has no JavaScript API yet. It reports every dependency as an import,
 * `import type` too. So a type import in the wrong direction is an error as well.
 */

import { unshipped as testsAndHelpers } from './scripts/shipped.ts';

/** From the bottom up; a package imports only from lower rows. */
const layers = [
  ['kernel'],
  ['contract'],
  ['config', 'telemetry'],
  ['archive-store', 'lifecycle', 'postgres', 'tls'],
  ['audit', 'eventlog', 'jobs'],
  ['aggregates'],
  ['messaging'],
  ['projections'],
  ['sagas'],
];

/** For each package, the packages that it may import. */
const allowed = {
  // Runs in browsers as well.
  carts: [],
  // Beside the layers: they import from the lower rows only.
  rpc: ['kernel', 'contract', 'telemetry', 'tls'],
  cache: ['kernel', 'contract', 'telemetry'],
  'embedded-postgres': ['kernel', 'lifecycle', 'telemetry'],
  // Above all layers: what a context is made of.
  context: [...layers.flat(), 'rpc', 'cache'],
};
layers.forEach((row, height) => {
  for (const name of row) allowed[name] = layers.slice(0, height).flat();
});

const tests = '\\.test\\.ts$';
/** What shipped modules must not import. */
const unshipped = [...testsAndHelpers, '^scripts/'];

const layerRules = Object.entries(allowed).map(([name, below]) => ({
  name: `layer-${name}`,
  comment: `packages/${name} may import ${below.length ? below.map((each) => `packages/${each}`).join(', ') : 'no other package'}.`,
  severity: 'error',
  from: { path: `^packages/${name}/`, pathNot: unshipped },
  to: { path: '^packages/', pathNot: [`^packages/(${[name, ...below].join('|')})/`, '^packages/testing/'] },
}));

export default {
  forbidden: [
    ...layerRules,
    {
      name: 'layer-missing',
      comment: 'Give the new package its place in .dependency-cruiser.js.',
      severity: 'error',
      from: { path: '^packages/', pathNot: `^packages/(${[...Object.keys(allowed), 'testing'].join('|')})/` },
      to: {},
    },
    {
      name: 'package-imports-business',
      comment: 'Packages contain nothing of the business, not even in their tests.',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(services|apps)/' },
    },
    {
      name: 'context-imports-context',
      comment: 'Contexts communicate by gRPC and events. Only apps/server puts them together.',
      severity: 'error',
      from: { path: '^services/([^/]+)/' },
      to: { path: '^(services|apps)/', pathNot: '^services/$1/' },
    },
    {
      name: 'app-imports-context',
      comment: 'Only apps/server/src/contexts.ts lists the contexts; other apps import that list.',
      severity: 'error',
      from: { path: '^apps/', pathNot: ['^apps/server/src/contexts\\.ts$', ...unshipped] },
      to: { path: '^services/' },
    },
    {
      name: 'server-imports-app',
      comment: 'The command line starts the server, not the other way round.',
      severity: 'error',
      from: { path: '^apps/server/' },
      to: { path: '^apps/', pathNot: '^apps/server/' },
    },
    {
      name: 'importer-is-a-client',
      comment: 'The importer is a client of the public API and imports nothing internal.',
      severity: 'error',
      from: { path: '^apps/importer/', pathNot: unshipped },
      to: {
        path: '^(apps|services|packages)/',
        pathNot: [
          '^apps/importer/',
          '^packages/(contract|kernel|telemetry)/',
          '^packages/rpc/src/(client|[^/]+\\.ts$)',
        ],
      },
    },
    {
      name: 'domain-is-pure',
      comment:
        "A domain decides and evolves. It imports the contract, the kernel, the laws of carts and an aggregate's types: no I/O.",
      severity: 'error',
      from: { path: '^services/([^/]+)/src/domain/', pathNot: tests },
      to: {
        pathNot: [
          '^services/$1/src/domain/',
          '^packages/contract/src/',
          '^packages/kernel/src/',
          '^packages/carts/src/',
          '^packages/aggregates/src/types\\.ts$',
        ],
      },
    },
    {
      name: 'testing-in-production',
      comment: 'Shipped code must not import what only tests need.',
      severity: 'error',
      from: { path: '^(packages|services|apps)/', pathNot: unshipped },
      to: { path: unshipped },
    },
    {
      name: 'test-imported',
      comment: 'Move what tests share to a folder testing/ beside them, or to @caudal/testing.',
      severity: 'error',
      from: { path: unshipped },
      to: { path: tests },
    },
    {
      name: 'not-declared',
      comment: 'Declare what shipped code imports in the dependencies of its own package.json.',
      severity: 'error',
      from: { path: '^(packages|services|apps)/', pathNot: unshipped },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'not-found',
      comment: 'The imported module does not exist.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'circle',
      comment: 'Modules that import each other are one module, or need a third for what they share.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'types', 'default'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
