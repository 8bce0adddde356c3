/**
 * Checks what a store has of one view (or of one stream's history) against a fold of the log up to exactly the versions
 * that the store says it has seen: so it can be done while events keep coming.
 */
import { isDeepStrictEqual } from 'node:util';
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type Followed, followEvent } from './events.ts';
import { foldHistory, foldView } from './fold.ts';
import { type Logs, readWholeStreams } from './read-logs.ts';
import type { Collection, StoredDocument } from './store.ts';
import type { Projection } from './types.ts';

export interface Finding {
  /**
   * `missing`: the log has it, the store does not. `differing`: it is not what the log says. `behind`: it is right, but
   * of an older state, and stays so. `extra`: the log knows nothing of it.
   */
  kind: 'missing' | 'differing' | 'behind' | 'extra';
  id: string;
  detail: string;
}

/** A document as the log says it should be. */
export type Expected = Pick<StoredDocument, 'id' | 'streams' | 'view'>;

const loadSize = 500;

/** Whether two states of a view are the same, written down. */
export function sameView(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(plain(one), plain(other));
}

/** As JSON would bring it back: without undefined. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** What the events come to: the view, or the entries and the cursor. What fails ends its stream. */
export function expectedOf<V>(
  projection: Projection<V>,
  id: string,
  before: Expected | undefined,
  events: Followed<V>[],
): { documents: Expected[]; failed: { event: RecordedEvent; error: unknown }[] } {
  const fold = projection.kind === 'one-per-event' ? foldHistory<V> : foldView<V>;
  const { entries, write, unfinished } = fold(projection, id, before && { ...before, revision: 1 }, events);
  return {
    documents: write ? [...entries, write] : entries,
    failed: unfinished.flatMap((one) => (one.kind === 'failed' ? [one] : [])),
  };
}

/**
 * Checks one view, or history, that is fed by these streams (and any others that the store names). Waits up to
 * `settleMs` for one that is behind.
 */
export async function checkView<V>(options: {
  projection: Projection<V>;
  collection: Collection;
  logs: Logs;
  id: string;
  streams: string[];
  settleMs: number;
}): Promise<Finding[]> {
  const { collection, id, settleMs } = options;
  const deadline = performance.now() + settleMs;
  for (;;) {
    const [stored] = await collection.load([id]);
    if (stored && isEntry(options.projection, stored)) return checkEntry(options.logs, stored);
    const streams = [...new Set([...options.streams, ...Object.keys(stored?.streams ?? {})])];
    const findings = await compare(options, stored, await eventsOf(options, streams));
    const passing = findings.every(({ kind }) => kind === 'behind' || kind === 'missing');
    if (findings.length === 0 || !passing || performance.now() >= deadline) return findings;
    await sleep(100);
  }
}

/** An entry of a history goes by its event's id, its cursor by the stream's name. */
function isEntry<V>({ kind }: Projection<V>, { id, streams }: StoredDocument): boolean {
  return kind === 'one-per-event' && streams[id] === undefined;
}

/** Whether the log has the entry's event. What the entry says is checked with its stream. */
async function checkEntry(logs: Logs, { id, streams }: StoredDocument): Promise<Finding[]> {
  const [stream, version] = Object.entries(streams)[0]!;
  const log = logs.get(domainOf(stream));
  const [event] = (await log?.readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 })) ?? [];
  return event?.eventId === id ? [] : [{ kind: 'extra', id, detail: `no event of ${stream} has this id` }];
}

async function eventsOf<V>(
  { projection, logs, id }: { projection: Projection<V>; logs: Logs; id: string },
  streams: string[],
): Promise<Followed<V>[]> {
  const events: Followed<V>[] = [];
  const held = new Set<string>();
  for await (const page of readWholeStreams(logs, streams)) {
    for (const event of page) {
      if (held.has(event.stream)) continue;
      try {
        const followed = followEvent(projection, event);
        if (followed?.view === id) events.push(followed);
      } catch {
        held.add(event.stream);
      }
    }
  }
  return events;
}

async function compare<V>(
  options: { projection: Projection<V>; collection: Collection; id: string },
  stored: StoredDocument | undefined,
  events: Followed<V>[],
): Promise<Finding[]> {
  const { projection, collection, id } = options;
  const whole = expectedOf(projection, id, undefined, events).documents;
  const target = whole.find((document) => document.id === id);
  if (!target) return stored ? [{ kind: 'extra', id, detail: 'no event of the log belongs to it' }] : [];
  if (!stored) return [{ kind: 'missing', id, detail: `should have seen ${JSON.stringify(target.streams)}` }];
  for (const [stream, version] of Object.entries(stored.streams))
    if (version > (target.streams[stream] ?? 0))
      return [{ kind: 'differing', id, detail: `has seen version ${version} of ${stream}, further than the log goes` }];

  const seen = events.filter(({ recorded }) => recorded.version <= (stored.streams[recorded.stream] ?? 0));
  const { documents } = expectedOf(projection, id, undefined, seen);
  const findings = await compareDocuments(collection, stored, documents);
  if (findings.length === 0 && !isDeepStrictEqual(sorted(stored.streams), sorted(target.streams)))
    findings.push({
      kind: 'behind',
      id,
      detail: `has seen ${JSON.stringify(stored.streams)} of ${JSON.stringify(target.streams)}`,
    });
  return findings;
}

async function compareDocuments(
  collection: Collection,
  target: StoredDocument,
  documents: Expected[],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (let place = 0; place < documents.length; place += loadSize) {
    const part = documents.slice(place, place + loadSize);
    const ids = part.map(({ id }) => id).filter((id) => id !== target.id);
    const stored = new Map((ids.length > 0 ? await collection.load(ids) : []).map((one) => [one.id, one]));
    stored.set(target.id, target);
    for (const { id, view } of part) {
      const found = stored.get(id);
      if (!found) findings.push({ kind: 'missing', id, detail: `is an entry of ${target.id}` });
      else if (!sameView(found.view, view))
        findings.push({ kind: 'differing', id, detail: 'is not what the log says' });
    }
  }
  return findings;
}

function sorted(streams: Record<string, number>): [string, number][] {
  return Object.entries(streams).sort(([a], [b]) => (a < b ? -1 : 1));
}
