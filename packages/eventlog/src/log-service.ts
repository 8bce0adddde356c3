/**
 * A log served to other contexts, and a client that reads it: both sides of caudal.log.v1.LogService. gRPC bounds the
 * size of an answer, so the server cuts it once it holds `answerBytes`. A reader of the log continues from the position
 * that it got. Answers of `readStreams` don't show the cut, so the client counts their bytes.
 */
import type * as wire from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { notFound, unavailable } from '@caudal/kernel/errors.ts';
import { type Epochs, presentOf } from './epochs.ts';
import type { LogReader, RecordedEvent, StreamCursor, StreamHead } from './types.ts';

const answerBytes = 2 * 1024 * 1024;
const defaultLimit = 1_000;
const endingWaitMs = 250;

function toWire(event: RecordedEvent): wire.RecordedEvent {
  return {
    position: BigInt(event.position),
    stream: event.stream,
    version: BigInt(event.version),
    eventId: event.eventId,
    type: event.type,
    schemaVersion: event.schemaVersion,
    data: Buffer.from(event.data.buffer, event.data.byteOffset, event.data.byteLength),
    metadata: Buffer.from(event.metadata.buffer, event.metadata.byteOffset, event.metadata.byteLength),
    recordedMicros: BigInt(event.recordedAt.getTime()) * 1_000n,
    epoch: BigInt(event.epoch ?? 0),
  };
}

/** As they are after the answer was read. */
function epochsOf(log: LogReader): wire.LogEpoch[] {
  return (log.epochs?.() ?? []).map(({ number, after }) => ({ number: BigInt(number), after: BigInt(after) }));
}

function fromWire(event: wire.RecordedEvent): RecordedEvent {
  return {
    position: Number(event.position),
    stream: event.stream,
    version: Number(event.version),
    eventId: event.eventId,
    type: event.type,
    schemaVersion: event.schemaVersion,
    data: event.data,
    metadata: event.metadata,
    recordedAt: new Date(Number(event.recordedMicros / 1_000n)),
    ...(event.epoch > 0n && { epoch: Number(event.epoch) }),
  };
}

const empty = Buffer.alloc(0);

const bareHead = ({ stream, version, position }: StreamHead): wire.RecordedEvent => ({
  position: BigInt(position),
  stream,
  version: BigInt(version),
  eventId: '',
  type: '',
  schemaVersion: 0,
  data: empty,
  metadata: empty,
  recordedMicros: 0n,
  epoch: 0n,
});

/** The events that the heads are, in their order. One at a time: only a rolling update asks for them. */
async function eventsOf(log: LogReader, heads: StreamHead[]): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for (const { stream, version } of heads)
    events.push(...(await log.readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 })));
  return events;
}

/** The number of events that one answer holds: the last one is the first that fills it. */
function countThatFits(events: RecordedEvent[]): number {
  let bytes = 0;
  const filler = events.findIndex((event) => {
    bytes += event.data.length + event.metadata.length;
    return bytes >= answerBytes;
  });
  return filler === -1 ? events.length : filler + 1;
}

const isFull = (events: RecordedEvent[]) =>
  events.reduce((bytes, { data, metadata }) => bytes + data.length + metadata.length, 0) >= answerBytes;

/**
 * The handlers of LogService for the logs of this process. An unknown domain is NOT_FOUND. When `ending` fires, calls
 * that wait for events are answered, and later ones wait 250 ms at most: otherwise they would use up the time in which a
 * server finishes its calls. `follow` registers a queue with the log of a domain.
 */
export function logHandlers(
  logs: LogReader[],
  follow: (
    domain: string,
    follower: { queue: string; keys: string[]; released: string[] },
  ) => Promise<{ setAside: boolean; slotted: boolean; keys: string[] }>,
  ending: AbortSignal,
) {
  const byDomain = new Map(logs.map((log) => [log.domain, log]));
  const logOf = (domain: string): LogReader => {
    const log = byDomain.get(domain);
    if (!log) throw notFound('log', domain);
    return log;
  };
  return {
    async readStreams(request: wire.ReadStreamsRequest): Promise<wire.ReadStreamsResponse> {
      const cursors = request.streams.map(({ stream, afterVersion }) => ({
        stream,
        afterVersion: Number(afterVersion),
      }));
      const limit = request.limit || defaultLimit;
      const log = logOf(request.domain);
      const events = await log.readStreams(cursors, { limit });
      return { events: events.slice(0, countThatFits(events)).map(toWire), epochs: epochsOf(log) };
    },
    async readLog(request: wire.ReadLogRequest, call: { signal: AbortSignal }): Promise<wire.ReadLogResponse> {
      const log = logOf(request.domain);
      const { events, head } = await log.readLog(Number(request.afterPosition), {
        limit: request.limit || defaultLimit,
        waitMs: ending.aborted ? Math.min(request.waitMillis, endingWaitMs) : request.waitMillis,
        signal: ending.aborted ? call.signal : AbortSignal.any([call.signal, ending]),
      });
      const fit = events.slice(0, countThatFits(events));
      return { events: fit.map(toWire), headPosition: BigInt(head), epochs: epochsOf(log) };
    },
    async follow({ domain, queue, keys, releasedKeys }: wire.FollowRequest): Promise<wire.FollowResponse> {
      return follow(logOf(domain).domain, { queue, keys, released: releasedKeys });
    },
    async heads(request: wire.HeadsRequest): Promise<wire.HeadsResponse> {
      const log = logOf(request.domain);
      const { heads, position } = await log.heads(Number(request.afterPosition), {
        minAgeMs: request.minAgeMillis,
        limit: request.limit || defaultLimit,
      });
      if (request.bare) return { heads: heads.map(bareHead), position: BigInt(position), epochs: epochsOf(log) };
      // A process of version 0.2 wants the events. Heads are in the log's order, so those that are cut off lie after the last one that stays.
      const events = await eventsOf(log, heads);
      const fit = events.slice(0, countThatFits(events));
      const end = fit.length < events.length ? fit.at(-1)!.position : position;
      return { heads: fit.map(toWire), position: BigInt(end), epochs: epochsOf(log) };
    },
  };
}

interface CallOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A client of LogService, as packages/rpc makes it. */
export interface LogClient {
  readStreams(request: wire.ReadStreamsRequest, options?: CallOptions): Promise<wire.ReadStreamsResponse>;
  readLog(request: wire.ReadLogRequest, options?: CallOptions): Promise<wire.ReadLogResponse>;
  heads(request: wire.HeadsRequest, options?: CallOptions): Promise<wire.HeadsResponse>;
}

/** How long a call may take, in addition to the wait that it asks for. */
const callMs = 5_000;
/** The most streams that one request may name, and the longest wait it may ask for. */
const maxCursors = 1_000;
const maxWaitMs = 10_000;

/** The cursors after these events. Events are ordered by stream, so those of earlier streams are complete. */
function advanced(cursors: StreamCursor[], events: RecordedEvent[]): StreamCursor[] {
  const seen = new Map(events.map((event) => [event.stream, event.version]));
  return cursors.map((cursor) => ({ ...cursor, afterVersion: seen.get(cursor.stream) ?? cursor.afterVersion }));
}

/** What a client knows of a remote log's epochs, from its answers. A server of version 0.2 tells none. */
function openRemoteEpochs(domain: string) {
  const listeners = new Set<() => void>();
  let known: Epochs = [];
  let isFirst = true;
  return {
    list: () => known,
    onChange(listener: () => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    /** Throws UNAVAILABLE if the answer is of an earlier epoch than one before. */
    take(epochs: wire.LogEpoch[]): void {
      if (epochs.length === 0) {
        isFirst = false;
        return;
      }
      const told = epochs.map(({ number, after }) => ({ number: Number(number), after: Number(after) }));
      const [before, now] = [presentOf(known).number, presentOf(told).number];
      const isNew = !isFirst && now > before;
      if (now < before) throw unavailable(`The log of ${domain}`, new Error('It has answered from an earlier epoch.'));
      isFirst = false;
      known = told;
      if (isNew) for (const listener of listeners) listener();
    },
  };
}

/** Another context's log. */
export function remoteLog({ domain, client }: { domain: string; client: LogClient }): LogReader {
  const epochs = openRemoteEpochs(domain);

  async function readSome(cursors: StreamCursor[], limit: number): Promise<RecordedEvent[]> {
    const streams = cursors.map(({ stream, afterVersion }) => ({ stream, afterVersion: BigInt(afterVersion) }));
    const response = await client.readStreams({ domain, streams, limit }, { timeoutMs: callMs });
    epochs.take(response.epochs);
    return response.events.map(fromWire);
  }

  return {
    domain,
    async readStreams(cursors, { limit = defaultLimit } = {}) {
      const all: RecordedEvent[] = [];
      for (let first = 0; first < cursors.length && all.length < limit; first += maxCursors) {
        let rest = cursors.slice(first, first + maxCursors);
        for (;;) {
          const some = await readSome(rest, limit - all.length);
          all.push(...some);
          if (!isFull(some) || all.length >= limit) break;
          rest = advanced(rest, some);
        }
      }
      return all;
    },
    async readLog(afterPosition, { limit = defaultLimit, waitMs = 0, signal } = {}) {
      const waitMillis = Math.min(waitMs, maxWaitMs);
      const response = await client.readLog(
        { domain, afterPosition: BigInt(afterPosition), limit, waitMillis },
        { timeoutMs: callMs + waitMillis, ...(signal && { signal }) },
      );
      epochs.take(response.epochs);
      return { events: response.events.map(fromWire), head: Number(response.headPosition) };
    },
    async heads(afterPosition, { minAgeMs = 0, limit = defaultLimit } = {}) {
      const response = await client.heads(
        { domain, afterPosition: BigInt(afterPosition), minAgeMillis: minAgeMs, limit, bare: true },
        { timeoutMs: callMs },
      );
      epochs.take(response.epochs);
      const heads = response.heads.map(({ stream, version, position }) => ({
        stream,
        version: Number(version),
        position: Number(position),
      }));
      return { heads, position: Number(response.position) };
    },
    epochs: epochs.list,
    onEpoch: epochs.onChange,
  };
}
