/**
 * ETags of resources: the version of the resource's own stream, `7`. If other streams tell of the resource too, as payment and
 * shipment tell of an order, a digest of their versions follows: `7-Qm5zX2bV`. It does not depend on how the view was built.
 */
import { hash } from 'node:crypto';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { StoredView } from '@caudal/projections/types.ts';

/**
 * The ETag of a view whose resource is this stream. `digest`: of the versions of other streams. It can be tried out, since they are small
 * numbers: give a keyed one if the caller may not know them.
 */
export function viewEtag({ streams }: StoredView<unknown>, stream: string, digest = plainDigest): string {
  const { [stream]: own = 0, ...others } = streams;
  const versions = Object.entries(others);
  if (versions.length === 0) return String(own);
  const text = JSON.stringify(versions.sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${own}-${digest(text)}`;
}

function plainDigest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 8);
}

/** The ETag of a resource after a command: `7`. */
export function commandEtag(version: number): string {
  return String(version);
}

/** Whether the ETag also tells of other streams than the resource's own. */
export const tellsOfOthers = (etag: string): boolean => etag.includes('-');

/**
 * Refuses a command whose caller has read another version. `given`: the request's ETag; an empty one is not checked.
 * `viewed`: the ETag of the resource's view now. It is compared only with an ETag of a view: that of a command's answer has just the own
 * version, and the view may be behind it.
 */
export function checkEtag(given: string, version: number, viewed?: string): void {
  if (given === '') return;
  const seen = tellsOfOthers(given) ? viewed : undefined;
  if (given.split('-')[0] === String(version) && (seen === undefined || given === seen)) return;
  throw new CaudalError('ABORTED', 'ETAG_MISMATCH', 'The resource has changed since it was read: read it again.', {
    violations: [{ field: 'etag', description: `is out of date: the current one is "${seen ?? version}"` }],
  });
}
