/**
 * ETags of resources: the version of the resource's own stream, and in views the view's revision behind it, since a view
 * also changes with other streams. A command compares the version only.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { StoredView } from '@caudal/projections/types.ts';

/** Of a view whose resource is this stream: `7-12`. */
export function viewEtag(stored: StoredView<unknown>, stream: string): string {
  return `${stored.streams[stream] ?? 0}-${stored.revision}`;
}

/** Of a resource as a command has left it: `7`. */
export function commandEtag(version: number): string {
  return String(version);
}

/** Refuses a command whose caller has seen another version. `given`: from the request; empty if it does not care. */
export function checkEtag(given: string, version: number): void {
  if (given === '' || given.split('-')[0] === String(version)) return;
  throw new CaudalError('ABORTED', 'ETAG_MISMATCH', 'It has changed since it was read: read it again.', {
    violations: [{ field: 'etag', description: `is out of date: the present one begins with "${version}"` }],
  });
}
