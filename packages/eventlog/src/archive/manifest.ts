/** The object that says what else of a month is in the archive. It is written last. */
import { createHash } from 'node:crypto';
import type { SortedFile } from './sorted-file.ts';

export interface Manifest {
  format: 1;
  domain: string;
  /** `2024-03` */
  month: string;
  /** The log's position before its first event. */
  after: number;
  events: number;
  /** The sum of the events' hashes: see `openDigest`. */
  digest: string;
  /** The same events in two orders. */
  byPosition: SortedFile;
  byStream: SortedFile;
}

/** The most that is read of one. */
export const longestManifest = 64 * 2 ** 20;

export const manifestName = (path: string) => `${path}/manifest.json`;

export const hashOf = (text: string | Uint8Array) => createHash('sha256').update(text).digest();

/** Reads a manifest. Throws if it is not the one that was verified. */
export function parseManifest<M extends object>(bytes: Buffer, { path, hash }: { path: string; hash: Uint8Array }): M {
  if (!hashOf(bytes).equals(hash))
    throw new Error(`"${manifestName(path)}" in the archive is not what was written there: restore that object.`);
  return JSON.parse(bytes.toString()) as M;
}
