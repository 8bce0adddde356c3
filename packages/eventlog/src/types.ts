/** The interface of the event log: appends, their results, and reads. */

/** An event before the log has it. */
export interface NewEvent {
  /** UUIDv7; also the message id under which it travels. */
  eventId: string;
  type: string;
  schemaVersion: number;
  data: Uint8Array;
  /** An encoded caudal.log.v1.EventMetadata. */
  metadata: Uint8Array;
}

/** An event as the log has it. */
export interface RecordedEvent extends NewEvent {
  /** Its place in the log: 1, 2, 3 ... without a gap. */
  position: number;
  /** `<domain>.<entity>/<id>` */
  stream: string;
  /** Its place in the stream: 1, 2, 3 ... without a gap. */
  version: number;
  /** By the database's clock; never goes back in a log. */
  recordedAt: Date;
}

/** What the stream must look like for an append to land: this version (0: there must be no such stream), or any of. */
export type ExpectedVersion = number | 'must-exist' | 'any';

export interface Append {
  stream: string;
  expected: ExpectedVersion;
  /**
   * May be empty: then only the command is remembered; if there is none either, the append just asks the log whether
   * the stream is as expected ('appended' or 'conflict').
   */
  events: NewEvent[];
  /** Makes the append repeatable: see `AppendResult`. */
  command?: {
    /** A UUID, unique per caller, method and request id. */
    key: string;
    /** 16 bytes that stand for the request's content. */
    hash: Uint8Array;
    /**
     * The encoded answer; a repeat gets it. Without it the key is only looked up, before anything else is judged:
     * 'duplicate' or 'reused' if it is known; it is not remembered. (How refusals, which are not kept, ask whether the
     * command had succeeded before.)
     */
    reply?: Uint8Array;
  };
}

export type AppendResult =
  /** It is durable. `version` is the stream's after it, `position` that of its last event (0 if it had none). */
  | { kind: 'appended'; version: number; position: number; recordedAt: Date }
  /**
   * The stream is not as expected. `missing`: its events after the expected version, at most 1,000 (none for 'must-exist');
   * maybe only the first of them, if the append relies on one that is a conflict too.
   */
  | { kind: 'conflict'; version: number; missing: RecordedEvent[] }
  /** The command was done before, with this answer, by an append that left its stream at `version`. */
  | { kind: 'duplicate'; reply: Uint8Array; stream: string; version: number }
  /** The command's key was used before for other content. */
  | { kind: 'reused' };

export interface StreamCursor {
  stream: string;
  /** The last version that the reader has; 0 for none. */
  afterVersion: number;
}

/**
 * Reading a log: the context's own in PostgreSQL, or another context's through its LogService. Every call may fail
 * with UNAVAILABLE.
 */
export interface LogReader {
  readonly domain: string;
  /** Events of several streams after what the reader has, ordered by stream and version; at most `limit` in all (1,000). */
  readStreams(cursors: StreamCursor[], options?: { limit?: number }): Promise<RecordedEvent[]>;
  /**
   * Events after a position in the log's order, at most `limit` (1,000), and the log's last position at that moment.
   * If there is nothing, waits for it up to `waitMs`.
   */
  readLog(
    afterPosition: number,
    options?: { limit?: number; waitMs?: number; signal?: AbortSignal },
  ): Promise<{ events: RecordedEvent[]; head: number }>;
  /**
   * Looks at up to `limit` (1,000) events after a position that are at least `minAgeMs` old: the last one of each
   * stream among them, and the position to go on from.
   */
  heads(
    afterPosition: number,
    options?: { minAgeMs?: number; limit?: number },
  ): Promise<{ heads: RecordedEvent[]; position: number }>;
}

/** A state of a stream, so that a long stream need not be read from its start. */
export interface Snapshot {
  /** The stream's version that it stands for. */
  version: number;
  /** The version of the state's shape: another one is ignored and written anew. */
  schemaVersion: number;
  data: Uint8Array;
}

/** A context's own log. */
export interface EventLog extends LogReader {
  /**
   * Appends. Appends that arrive while others are on their way travel together and are judged one by one, in the order
   * of the calls. Fails with UNAVAILABLE if the outcome stays unknown; appending the same again is safe if it carries a
   * command.
   *
   * An append with an exact expected version that was made before the outcome of an earlier one of its stream was known
   * relies on it: if that one has events and gets another result than 'appended', the later one is not appended either
   * ('conflict', or 'duplicate' or 'reused' for its own key), even where other events brought the stream to just the
   * version that it expects: its decision never saw them. If the earlier one fails, the later one fails too where it
   * may have been sent, and is a 'conflict' where it was not.
   */
  append(append: Append): Promise<AppendResult>;
  /** One stream from after `afterVersion`, all of it, in pages. */
  readStream(stream: string, afterVersion?: number): AsyncIterable<RecordedEvent[]>;
  /**
   * Waits for the lock of a stream that several processes write to; locks are granted in the order of the requests. Returns
   * its release. The lock is advisory: the expected version alone decides what may land. It can be lost (its holder hangs, the
   * connection breaks) without notice. After a second the wait ends without the lock. Never fails. Absent in a log that only
   * one process writes to.
   */
  lockStream?(stream: string): Promise<() => void>;
  loadSnapshot(stream: string): Promise<Snapshot | undefined>;
  saveSnapshot(stream: string, snapshot: Snapshot): Promise<void>;
}
