/**
 * Whether views have seen writes: checks for many writes at once, by few calls. A projection whose views follow few
 * streams is asked for the views; a multi-stream projection for the facts of the streams, else for its checkpoint.
 */
import { domainOf, entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { followEvent, viewOfStream } from '../events.ts';
import { factsOf } from '../generations/generation.ts';
import type { CurrentGeneration } from '../generations/generations.ts';
import type { AnyProjection, MultiStreamProjection } from '../multi-stream/types.ts';
import { generationName } from '../projector.ts';
import type { Collection, StoredDocument, ViewStore } from '../stores/store.ts';
import type { Projection } from '../types.ts';
import type { LogEpochs } from './log-epochs.ts';
import { remembered } from './remembered.ts';

/** A stream, and the version that must have been seen of it. */
export interface StreamVersion {
  stream: string;
  version: number;
  /** The epoch of the log in which it was written; absent: the first one. */
  epoch?: number;
}

/** A query that waits for a write. */
export interface Wait extends StreamVersion {
  /** Whether it was checked before. */
  checked: boolean;
  /** Ends the wait with an error. */
  fail(error: unknown): void;
}

/** What a check found: the other waits go on. */
export interface Seen {
  /** Queries see these. */
  visible: Wait[];
  /** They are written, and queries see them after a refresh. */
  written: Wait[];
}

export type Check = (waits: Wait[], current: CurrentGeneration) => Promise<Seen>;

/** How many streams a process remembers something of. */
export const rememberedStreams = 10_000;
const idsPerCall = 500;
const callsAtOnce = 4;
const logReadsAtOnce = 8;

/** The event of a write, or undefined if the log does not have it (yet). */
function eventReader<V>(projection: AnyProjection<V>, logs: ReadonlyMap<string, LogReader>) {
  return async ({ stream, version }: StreamVersion): Promise<RecordedEvent | undefined> => {
    const domain = domainOf(stream);
    const log = logs.get(domain);
    if (!log) throw new Error(`${projection.name} follows ${domain}, and no log of it is given`);
    const [event] = await log.readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 });
    return event;
  };
}

/** For views that follow a handful of streams each. */
export function checkViews<V>(
  projection: Projection<V>,
  logs: ReadonlyMap<string, LogReader>,
  epochs: Pick<LogEpochs, 'of'>,
): Check {
  const read = eventReader(projection, logs);
  /** By epoch and stream, what an event had to tell. */
  const learned = remembered<{ view: string | undefined }>({ max: rememberedStreams });

  const keyOf = (write: StreamVersion) => `${epochs.of(write)} ${write.stream}`;
  const nameOrMemory = (write: StreamVersion) => viewOfStream(projection, write.stream) ?? learned.get(keyOf(write));

  /**
   * Undefined if the log does not have the event: a replica may get it yet, and a token that was made up waits until
   * its time is over. So does one whose event can't be decoded: its stream is parked until a redrive.
   */
  async function readView(write: StreamVersion): Promise<{ view: string | undefined } | undefined> {
    const event = await read(write);
    try {
      return event && { view: followEvent(projection, event)?.view };
    } catch {
      return undefined;
    }
  }

  /** Reads the log for streams whose view is not known. */
  async function learn(waits: Wait[]): Promise<void> {
    const unknown = waits.filter((wait) => !nameOrMemory(wait));
    await forEachConcurrent(byStream(unknown), logReadsAtOnce, async ([, ofStream]) => {
      try {
        const key = keyOf(ofStream[0]!);
        const view = await readView(ofStream[0]!);
        if (view) learned.set(key, view);
      } catch (error) {
        for (const wait of ofStream) wait.fail(error);
      }
    });
  }

  return async (waits, { collection }) => {
    await learn(waits);
    const located = waits.flatMap((wait) => {
      const known = nameOrMemory(wait);
      return known ? [{ wait, view: known.view }] : [];
    });
    const visible = located.flatMap(({ wait, view }) => (view === undefined ? [wait] : []));
    let open = located.filter((one): one is Located => one.view !== undefined);

    async function sift(from: Located[], load: Load): Promise<Wait[]> {
      const streams = await streamsOf(load, [...new Set(from.map(({ view }) => view))]);
      const seen = from.filter(({ wait, view }) => (streams.get(view)?.[wait.stream] ?? 0) >= wait.version);
      open = open.filter((one) => !seen.includes(one));
      return seen.map(({ wait }) => wait);
    }
    // Most tokens are older than what queries see. One that was checked before is not yet.
    const { found } = collection;
    if (found) {
      const first = open.filter(({ wait }) => !wait.checked);
      visible.push(...(await sift(first, found)));
    }
    const seen = await sift(open, (ids) => collection.load(ids));
    if (found) return { visible, written: seen };
    return { visible: [...visible, ...seen], written: [] };
  };
}

interface Located {
  wait: Wait;
  view: string;
}

type Load = (ids: string[]) => Promise<Pick<StoredDocument, 'id' | 'streams'>[]>;

async function streamsOf(load: Load, ids: string[]): Promise<Map<string, StoredDocument['streams']>> {
  const streams = new Map<string, StoredDocument['streams']>();
  const parts: string[][] = [];
  for (let place = 0; place < ids.length; place += idsPerCall) parts.push(ids.slice(place, place + idsPerCall));
  await forEachConcurrent(parts, callsAtOnce, async (part) => {
    for (const document of await load(part)) streams.set(document.id, document.streams);
  });
  return streams;
}

export interface GatheredOptions<V> {
  projection: MultiStreamProjection<V>;
  store: ViewStore;
  logs: ReadonlyMap<string, LogReader>;
  /** Whether the handler of this name has handled the event. */
  passed(handlerName: string, event: Pick<RecordedEvent, 'stream' | 'version' | 'position'>): Promise<boolean>;
  epochs: Pick<LogEpochs, 'of'>;
}

/** For views that gather from any number of streams. */
export function checkGatheredViews<V>({ projection, store, logs, passed, epochs }: GatheredOptions<V>): Check {
  const read = eventReader(projection, logs);
  const remembering = new Set(projection.gathers.flatMap(({ entity, facts }) => (facts ? [entity.name] : [])));
  /** The positions of events, by epoch, stream and version. They never change in an epoch. */
  const positions = remembered<number>({ max: rememberedStreams });
  let opened: { number: number; facts: Collection } | undefined;

  function factsNow(number: number): Collection {
    if (opened?.number !== number) opened = { number, facts: factsOf({ projection, store, generation: number }) };
    return opened.facts;
  }

  /** What facts have seen, the views have too: views are written first. Facts are not written at every event. */
  async function byFacts(waits: Wait[], facts: Collection): Promise<Wait[]> {
    const first = waits.filter(({ stream, checked }) => !checked && remembering.has(entityOfStream(stream)));
    const ids = [...new Set(first.map(({ stream }) => stream))];
    const streams = await streamsOf((part) => facts.load(part), ids);
    return first.filter(({ stream, version }) => (streams.get(stream)?.[stream] ?? 0) >= version);
  }

  async function positionOf(write: StreamVersion): Promise<number | undefined> {
    const key = `${epochs.of(write)} ${write.stream}@${write.version}`;
    const known = positions.get(key) ?? (await read(write))?.position;
    if (known !== undefined) positions.set(key, known);
    return known;
  }

  return async (waits, { number, collection }) => {
    const handler = generationName(projection, number);
    const seen = new Set(await byFacts(waits, factsNow(number)));
    const others = waits.filter((wait) => !seen.has(wait));
    await forEachConcurrent(byWrite(others), logReadsAtOnce, async ([, ofWrite]) => {
      const { stream, version } = ofWrite[0]!;
      try {
        const position = await positionOf(ofWrite[0]!);
        if (position === undefined || !(await passed(handler, { stream, version, position }))) return;
        for (const wait of ofWrite) seen.add(wait);
      } catch (error) {
        for (const wait of ofWrite) wait.fail(error);
      }
    });
    return collection.found ? { visible: [], written: [...seen] } : { visible: [...seen], written: [] };
  };
}

function byStream(waits: Wait[]): Map<string, Wait[]> {
  return Map.groupBy(waits, ({ stream }) => stream);
}

function byWrite(waits: Wait[]): Map<string, Wait[]> {
  return Map.groupBy(waits, ({ stream, version }) => `${stream}@${version}`);
}
