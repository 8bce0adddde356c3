/** The interface of the event log: appends, their results, and reads. */
import type { Epochs } from './epochs.ts';

/** An event before it is in the log. */
export interface NewEvent {
  /** UUIDv7; also the id of the event's message. */
  eventId: string;
  type: string;
  schemaVersion: number;
  data: Uint8Array;
  /** An encoded caudal.log.v1.EventMetadata. */
  metadata: Uint8Array;
}

/** An event in the log. */
export interface RecordedEvent extends NewEvent {
  /** Its place in the log: 1, 2, 3 ... without a gap. */
  position: number;
  /** `<domain>.<entity>/<id>` */
  stream: string;
  /** Its place in the stream: 1, 2, 3 ... without a gap. */
  version: number;
  /** By the database's clock; within a log it never goes back. */
  recordedAt: Date;
  /** The log's epoch in which it was recorded (docs/fail-over.md); absent: the first, or not known. */
  epoch?: number | undefined;
}

/** What an append requires of its stream: this version (0: the stream must not exist), that it exists, or nothing. */
export type ExpectedVersion = number | 'must-exist' | 'any';

/** Events of one stream, and what they require of it. */
export interface StreamAppend {
  stream: string;
  expected: ExpectedVersion;
  /**
   * May be empty: then only the command and the claims are stored. Without these either, the append only checks whether
   * the stream is as expected ('appended' or 'conflict').
   */
  events: NewEvent[];
}

/** A unit: all of it lands, or nothing. */
export interface Append extends StreamAppend {
  /** Further streams whose events land with it; at most 99. Each stream of an append is named once. */
  also?: StreamAppend[];
  /** Facts beside the log that it requires or records; at most 1,000. See docs/event-log-write-path.md, Claims. */
  claims?: Claim[];
  /** Makes the append repeatable: see `AppendResult`. */
  command?: {
    /** A UUID, unique per caller, method and request id. */
    key: string;
    /** A hash of the request's content: 16 bytes. */
    hash: Uint8Array;
    /** The time in the request id, in milliseconds, if it has one: see `CommandId`. */
    madeAt?: number;
    /**
     * The encoded answer; a repeat gets it. Without it the key is not stored, but only looked up before all other
     * checks: 'duplicate' or 'reused' if it is known. (So a refusal, which is not stored, finds out whether the command
     * had succeeded before.)
     */
    reply?: Uint8Array;
    /** The type of the answer, if it has personal fields: `caudal.customers.v1.Customer`. */
    replyType?: string;
  };
}

/** What an append requires of an id that was or was not dealt with, and what it records of it. */
export interface Claim {
  /** Whose claim it is: usually the name of the stream that has to remember. */
  scope: string;
  /** What it is about: a reservation's id. One that is, or begins with, a UUIDv7 is cheaper than others. */
  id: string;
  /** How long claims of this scope are kept: 1 to 60. It never changes for a scope; for another number take a new scope. */
  days: number;
  /**
   * 'absent', the default: no claim that has not expired. A number: the generation that it was read as, or absent. 'any':
   * nothing is required.
   */
  expected?: 'absent' | 'any' | number;
  /** Absent: the claim is only looked up. */
  record?: {
    /** What it means, 1 to 32,767, declared by the caller; commands are 0. */
    kind: number;
    /** What later appends get that require something else. */
    outcome: Uint8Array;
    /** How long it is kept, if that is longer than `days`; at most 60. */
    days?: number;
  };
}

/** A stream that an append has not found as expected, or that was as expected in an append that did not land. */
export interface StreamConflict {
  version: number;
  /** Its events after the expected version, at most 1,000 (none for 'must-exist'). */
  missing: RecordedEvent[];
}

export type AppendResult =
  /**
   * Durable. `version`: the stream's version after it. `position`: that of its last event, 0 if it has no events. `also`:
   * the versions of the further streams, in their order.
   */
  | { kind: 'appended'; version: number; position: number; recordedAt: Date; also?: number[] }
  /**
   * A stream is not as expected. `missing`: the events of the first one after its expected version. It may be only the
   * first of them, if the append relies on another one that is a conflict too; it may lack some or all, if they could not
   * be read. `also`: the further streams.
   */
  | ({ kind: 'conflict'; also?: StreamConflict[] } & StreamConflict)
  /** The command was done before, with this answer, by an append that left its stream at `version`. */
  | { kind: 'duplicate'; reply: Uint8Array; stream: string; version: number }
  /** The command's key was used before for other content. */
  | { kind: 'reused' }
  /** The streams are as expected, but these claims are not, each of which exists. Nothing has landed. */
  | { kind: 'claimed'; claims: KnownClaim[] }
  /**
   * The log's epoch has changed since the append was made: what it was decided on may be lost. This append has not landed in
   * the present epoch, unless an earlier sending of it had, which its command tells when it is decided again.
   */
  | { kind: 'outdated' };

/** A claim as it was recorded. */
export interface KnownClaim {
  /** Its place in the append's `claims`, from 0. */
  place: number;
  kind: number;
  generation: number;
  outcome: Uint8Array;
  /** The version of the first stream of the append that recorded it, after that. */
  version: number;
}

/** Where a stream ends, among the events that were looked at. */
export type StreamHead = Pick<RecordedEvent, 'stream' | 'version' | 'position'>;

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
  /**
   * Events of several streams, each after its cursor, ordered by stream and version; at most `limit` (1,000) in all.
   * `livingOnly`: throws ReachesArchive, without waiting for the archive, if some of them are there. Only a context's own
   * log knows this option.
   */
  readStreams(cursors: StreamCursor[], options?: { limit?: number; livingOnly?: boolean }): Promise<RecordedEvent[]>;
  /**
   * Events after a position in the log's order, at most `limit` (1,000), and the log's last position at that moment. If
   * there are none, waits up to `waitMs` for them.
   */
  readLog(
    afterPosition: number,
    options?: { limit?: number; waitMs?: number; signal?: AbortSignal },
  ): Promise<{ events: RecordedEvent[]; head: number }>;
  /**
   * Looks at up to `limit` (1,000) events after a position that are at least `minAgeMs` old. Returns the last one of each
   * stream among them, in the log's order, and the position to continue from. It reads no contents.
   */
  heads(
    afterPosition: number,
    options?: { minAgeMs?: number; limit?: number },
  ): Promise<{ heads: StreamHead[]; position: number }>;
  /** The log's epochs after the first, as of the last answer. Absent: a log that has no others. */
  epochs?(): Epochs;
  /** Calls back when the epoch has changed, before anything of the new one is returned. Returns a function that ends it. */
  onEpoch?(listener: () => void): () => void;
}

/** A state of a stream, so that a long stream need not be read from its start. */
export interface Snapshot {
  /** The stream's version at this state. */
  version: number;
  /** The version of the state's shape. A snapshot of another one is ignored and written again. */
  schemaVersion: number;
  data: Uint8Array;
}

/** A context's own log. */
export interface EventLog extends LogReader {
  /**
   * Appends. Appends that arrive while others are in flight share a call and are checked one by one, in the order in
   * which they were made. An append may rely on an earlier one: see README, Appends that rely on others. Fails with
   * UNAVAILABLE if the outcome stays unknown; then it is safe to repeat an append with a command.
   */
  append(append: Append): Promise<AppendResult>;
  /** All events of one stream after `afterVersion`, in pages. */
  readStream(stream: string, afterVersion?: number): AsyncIterable<RecordedEvent[]>;
  /**
   * Waits for the advisory lock of a stream that several processes write to. Returns a function that releases it. After
   * a second the wait ends without the lock, and a lock can be lost without notice (its holder hangs, the connection
   * breaks). Never fails. Absent in a log that only one process writes to. See README, Choices.
   */
  lockStream?(stream: string): Promise<() => void>;
  loadSnapshot(stream: string): Promise<Snapshot | undefined>;
  /** The stream's snapshot without its data. */
  findSnapshot(stream: string): Promise<Omit<Snapshot, 'data'> | undefined>;
  /** Throws if the log's epoch is another one than the process knows. */
  saveSnapshot(stream: string, snapshot: Snapshot): Promise<void>;
}
