/**
 * What goes into production. The import rules, the reference and the test of the image all use this list. .dockerignore
 * can't import it, so that test compares the two.
 */

/** Workspaces whose sources are shipped. */
export const workspaces = ['packages', 'services', 'apps'];

/** What only tests need in these workspaces, as regular expressions over paths. */
export const unshipped = ['\\.test\\.ts$', '/testing/'];

/** Whether this file, by its path in the project, is a shipped source. */
export function isShipped(path: string): boolean {
  return (
    workspaces.some((workspace) => path.startsWith(`${workspace}/`)) &&
    /^[^/]+\/[^/]+\/src\/.*\.ts$/.test(path) &&
    !unshipped.some((pattern) => new RegExp(pattern).test(path))
  );
}
