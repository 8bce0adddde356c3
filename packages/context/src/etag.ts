/**
 * ETags of resources: the version of the resource's own stream; in views followed by the view's revision, since a view
 * also changes with other streams. A command compares only the version.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { StoredView } from '@caudal/projections/types.ts';

/** The ETag of a view whose resource is this stream: `7-12`. */
export function viewEtag(stored: StoredView<unknown>, stream: string): string {
  return `${stored.streams[stream] ?? 0}-${stored.revision}`;
}

/** The ETag of a resource after a command: `7`. */
export function commandEtag(version: number): string {
  return String(version);
}

/**
 * Refuses a command whose caller has read another version. `given`: the request's ETag; an empty one is not checked.
 */
export function checkEtag(given: string, version: number): void {
  if (given === '' || given.split('-')[0] === String(version)) return;
  throw new CaudalError('ABORTED', 'ETAG_MISMATCH', 'The resource has changed since it was read: read it again.', {
    violations: [{ field: 'etag', description: `is out of date: the current one begins with "${version}"` }],
  });
}
