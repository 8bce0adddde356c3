/** Where old months of logs are kept: objects that are written once, and read whole or in part. */

/** An object's name and size. */
export interface StoredObject {
  /** Its name below the store's prefix: `orders/2024-03/.../manifest.json`. */
  name: string;
  bytes: number;
}

/**
 * Objects by name. Every call has a deadline. Errors: UNAVAILABLE with the reason ARCHIVE_UNAVAILABLE if the store can't be
 * reached, refuses the credentials, or takes too long; NoObject if there is no object of that name.
 */
export interface ArchiveStore {
  /** The store as operators know it: `s3://bucket/prefix`, or the folder. */
  readonly where: string;
  /**
   * Writes an object, or replaces it. Readers see all of it, or what was there before. Memory: parts of the object, never
   * the whole. `signal` gives up; what was sent is not kept.
   */
  put(name: string, content: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** Reads an object from its beginning. The deadline is for each piece. */
  get(name: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Reads `length` bytes from `offset` on. */
  getRange(name: string, range: { offset: number; length: number }, signal?: AbortSignal): Promise<Buffer>;
  /** The objects whose names begin with `prefix`; at most 1,000. */
  list(prefix: string, signal: AbortSignal): Promise<StoredObject[]>;
  close(): Promise<void>;
}

/** There is no object of this name. */
export class NoObject extends Error {
  override name = 'NoObject';
  constructor(where: string, object: string, cause?: unknown) {
    super(
      `There is no object "${object}" in the archive ${where}. Has it been deleted, or is CAUDAL_ARCHIVE another one?`,
      { cause },
    );
  }
}
