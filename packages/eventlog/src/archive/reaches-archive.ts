/** What a read of streams ends with that needs events of archived months. */
export class ReachesArchive extends Error {
  override name = 'ReachesArchive';
  /** Streams with such events after their cursors: all, or those that the read came to. */
  readonly streams: ReadonlySet<string>;
  constructor(streams: string[]) {
    super(`Events of ${streams.length} streams are in the archive.`);
    this.streams = new Set(streams);
  }
}
