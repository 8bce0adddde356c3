/**
 * What goes into production: the one list that import boundaries, reference and the test of the image read
 * (.dockerignore, which can read nothing, is compared with it).
 */

/** Workspaces whose sources are shipped. */
export const workspaces = ['packages', 'services', 'apps'];

/** Of those, what only tests need, as regular expressions over paths. */
export const unshipped = ['\\.test\\.ts$', '/testing/'];

/** Whether this file, by its path in the project, is a source that is shipped. */
export function isShipped(path: string): boolean {
  return (
    workspaces.some((workspace) => path.startsWith(`${workspace}/`)) &&
    /^[^/]+\/[^/]+\/src\/.*\.ts$/.test(path) &&
    !unshipped.some((pattern) => new RegExp(pattern).test(path))
  );
}
