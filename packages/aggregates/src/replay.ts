/**
 * Folds streams again from their first event: to show a stream's state, and to check a whole log. It folds events of
 * the log only, never a snapshot or a cached state, so snapshots can be compared with the result.
 */
import { isDeepStrictEqual } from 'node:util';
import { type EventCase, entityOfStream } from '@caudal/contract/entity.ts';
import { selectSnapshots } from '@caudal/eventlog/snapshots.ts';
import { type StreamHead, selectStreamHeads, selectTotals } from '@caudal/eventlog/streams.ts';
import type { EventLog, RecordedEvent, Snapshot } from '@caudal/eventlog/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { AnyDecider, State } from './entry.ts';
import { apply } from './fold.ts';
import { readState } from './snapshots.ts';
import { decodeState, encodeState } from './state-data.ts';
import type { Decided, Decider } from './types.ts';

export interface Finding {
  /**
   * `stream`: its events can't be folded, or some are missing. `snapshot`: it differs from the state that the events
   * give. `position`: the log has a gap there. `total`: streams and log disagree on the number of events.
   */
  kind: 'stream' | 'snapshot' | 'position' | 'total';
  /** The stream, or the place in the log. */
  where: string;
  detail: string;
}

export interface CheckReport {
  streams: number;
  events: number;
  snapshots: number;
  /** How many findings there are. */
  wrong: number;
  /** The first 1,000 of them. */
  findings: Finding[];
}

export interface CheckOptions {
  database: Database;
  log: EventLog;
  // biome-ignore lint/suspicious/noExplicitAny: deciders of different states have no common type
  deciders: Decider<any, any>[];
  /** The log is read twice: in its own order, then stream by stream. `total` counts both. */
  onProgress?(progress: { done: number; total: number }): void;
  /** Ends the check; it throws the signal's reason. */
  signal?: AbortSignal;
}

const pageSize = 2_000;
const streamsAtATime = 200;
const listedAtMost = 1_000;

/**
 * A stream's state, folded from its events as `see` shows them (as they are if absent). Version 0 if there is no such
 * stream. Throws on an event that can't be decoded or is not the next one; UNAVAILABLE.
 */
export async function replayStream<S, E extends EventCase>(options: {
  log: EventLog;
  decider: Decider<S, E>;
  stream: string;
  see?(events: RecordedEvent[]): Promise<RecordedEvent[]>;
  onProgress?(version: number): void;
}): Promise<Decided<S>> {
  const { log, decider, stream, see = async (events) => events, onProgress } = options;
  let state: State = { state: decider.initial, version: 0 };
  for await (const page of log.readStream(stream)) {
    for (const event of await see(page)) state = apply(decider as unknown as AnyDecider, state, event);
    onProgress?.(state.version);
  }
  return state as Decided<S>;
}

/**
 * Checks a log: positions without a gap, every stream whole and foldable, every snapshot equal to the fold up to its
 * version. What is appended during the check is no finding. UNAVAILABLE if the log can't be read.
 */
export async function checkLog(options: CheckOptions): Promise<CheckReport> {
  const { database } = options;
  const report: CheckReport = { streams: 0, events: 0, snapshots: 0, wrong: 0, findings: [] };
  const note = (finding: Finding) => {
    report.wrong += 1;
    if (report.findings.length < listedAtMost) report.findings.push(finding);
  };
  const { head, events } = await selectTotals(database);
  if (head !== events) {
    const detail = `the streams have ${events} events, but the log ends at position ${head}`;
    note({ kind: 'total', where: database.schema, detail });
  }
  await checkPositions(options, head, note);
  await checkStreams(options, head, report, note);
  return report;
}

/**
 * Checks one stream in the same way; undefined if there is no such stream. UNAVAILABLE if the log can't be read.
 */
export async function checkStream(
  options: Omit<CheckOptions, 'onProgress'>,
  stream: string,
): Promise<Finding[] | undefined> {
  const { database } = options;
  const [head] = await selectStreamHeads(database, { prefix: stream, limit: 1 });
  if (head?.stream !== stream) return undefined;
  const [snapshot] = await selectSnapshots(database, [stream]);
  const findings: Finding[] = [];
  const note = (finding: Finding) => findings.push(finding);
  const fold = beginFold(options, head, snapshot, note);
  if (fold) await foldAll(options, [fold], note, () => {});
  return findings;
}

type Note = (finding: Finding) => void;

async function checkPositions({ log, onProgress, signal }: CheckOptions, head: number, note: Note): Promise<void> {
  let last = 0;
  while (last < head) {
    signal?.throwIfAborted();
    const { events } = await log.readLog(last, { limit: pageSize });
    if (events.length === 0) break;
    for (const { position } of events) {
      if (position !== last + 1) note(gap(log.domain, last + 1, position - 1));
      last = position;
    }
    onProgress?.({ done: Math.min(last, head), total: 2 * head });
  }
  if (last < head) note(gap(log.domain, last + 1, head));
}

function gap(domain: string, from: number, to: number): Finding {
  const detail = from === to ? 'the event is missing' : `the events up to ${to} are missing`;
  return { kind: 'position', where: `${domain} ${from}`, detail };
}

async function checkStreams(options: CheckOptions, head: number, report: CheckReport, note: Note): Promise<void> {
  const { database, onProgress } = options;
  for (let after: string | undefined = ''; after !== undefined; ) {
    const heads: StreamHead[] = await selectStreamHeads(database, { after, limit: streamsAtATime });
    const snapshots = new Map<string, Snapshot>(
      (
        await selectSnapshots(
          database,
          heads.map(({ stream }) => stream),
        )
      ).map(({ stream, ...snapshot }) => [stream, snapshot]),
    );
    const folds = heads.flatMap((one) => beginFold(options, one, snapshots.get(one.stream), note) ?? []);
    report.streams += heads.length;
    await foldAll(options, folds, note, (count) => {
      report.events += count;
      onProgress?.({ done: Math.min(2 * head, head + report.events), total: 2 * head });
    });
    report.snapshots += folds.filter(({ snapshot }) => snapshot).length;
    after = heads.length === streamsAtATime ? heads.at(-1)!.stream : undefined;
  }
}

/** A stream that is being folded. */
interface Fold {
  stream: string;
  decider: AnyDecider;
  /** The snapshot to compare with; undefined if there is none that this code would use. */
  snapshot: Snapshot | undefined;
  /** At least this version must be there. */
  target: number;
  state: State;
}

function beginFold(
  { deciders }: CheckOptions,
  { stream, version }: StreamHead,
  kept: Snapshot | undefined,
  note: Note,
): Fold | undefined {
  const decider = deciders.find(({ entity }) => entity.name === entityOfStream(stream)) as AnyDecider | undefined;
  if (!decider) {
    note({ kind: 'stream', where: stream, detail: 'no entity of this context has such streams' });
    return undefined;
  }
  // A stream is in the list because it had an event.
  if (version === 0) {
    note({ kind: 'stream', where: stream, detail: 'its events are missing' });
    return undefined;
  }
  const snapshot = kept && kept.schemaVersion === decider.snapshot?.schemaVersion ? kept : undefined;
  // The snapshot may be newer than the list of streams, since it was read later. The events are read later still.
  const target = Math.max(version, snapshot?.version ?? 0);
  return { stream, decider, snapshot, target, state: { state: decider.initial, version: 0 } };
}

async function foldAll(
  { log, signal }: CheckOptions,
  folds: Fold[],
  note: Note,
  onFolded: (events: number) => void,
): Promise<void> {
  const open = new Map(folds.map((fold) => [fold.stream, fold]));
  while (open.size > 0) {
    signal?.throwIfAborted();
    const cursors = [...open.values()].map(({ stream, state }) => ({ stream, afterVersion: state.version }));
    const events = await log.readStreams(cursors, { limit: pageSize });
    for (const event of events) {
      const fold = open.get(event.stream);
      if (!fold) continue;
      try {
        fold.state = apply(fold.decider, fold.state, event);
        if (fold.snapshot?.version === event.version) compare(fold, fold.snapshot, note);
      } catch (error) {
        note({ kind: 'stream', where: fold.stream, detail: (error as Error).message });
        open.delete(fold.stream);
      }
    }
    onFolded(events.length);
    for (const { stream, target, state } of [...open.values()]) {
      if (state.version >= target) open.delete(stream);
      else if (events.length === 0) {
        note({
          kind: 'stream',
          where: stream,
          detail: `should end at version ${target}, but ends at ${state.version}`,
        });
        open.delete(stream);
      }
    }
  }
}

/** Compares the states alone: the claims beside them differ if the snapshot was made of one of version 0.2. */
function compare({ stream, state, decider }: Fold, { version, data }: Snapshot, note: Note): void {
  const wrong = (detail: string) =>
    note({ kind: 'snapshot', where: stream, detail: `of version ${version} ${detail}` });
  let kept: unknown;
  try {
    kept = readState(decider, data).state;
  } catch (error) {
    wrong(`can't be read: ${(error as Error).message}`);
    return;
  }
  // Encoded and decoded, as the stored one was.
  const own = decodeState(Buffer.concat([...encodeState(state.state)]));
  if (!isDeepStrictEqual(own, kept)) wrong('differs from the state that the events give');
}
