/**
 * Compares one stored view (or one stream's history) with a fold of the log up to exactly the versions that the stored
 * view has seen. So it works while new events arrive.
 */
import { isDeepStrictEqual } from 'node:util';
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type Followed, followEvent } from '../events.ts';
import { foldHistory, foldView } from '../fold.ts';
import { type Logs, readWholeStreams } from '../read-logs.ts';
import { hasLost } from '../stores/marks.ts';
import type { Collection, StoredDocument } from '../stores/store.ts';
import type { Projection } from '../types.ts';

export interface Finding {
  /**
   * `missing`: it follows from the log, and is not in the store. `differing`: it is not what the log says. `behind`: it
   * is right for an older version, and does not catch up. `extra`: no event of the log belongs to it.
   */
  kind: 'missing' | 'differing' | 'behind' | 'extra';
  id: string;
  detail: string;
}

/** A document as it should be, by the log. */
export type Expected = Pick<StoredDocument, 'id' | 'streams' | 'view'>;

const loadSize = 500;
/** Views, or histories, that are compared at the same time. */
export const checksAtATime = 8;
const entriesListedAtMost = 1_000;

/** Whether two states of a view are the same JSON. */
export function sameView(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(plain(one), plain(other));
}

/** The value after a round trip through JSON: without undefined. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** Folds the events: the view, or the entries and the cursor. An event that fails ends its stream. */
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

interface Check<V> {
  projection: Projection<V>;
  collection: Collection;
  logs: Logs;
  id: string;
  streams: string[];
  settleMs: number;
  /** Called with the number of events that were read. */
  onRead?(events: number): void;
}

/**
 * Checks one view, or history, that is fed by these streams (and any others that the stored view names). Waits up to
 * `settleMs` for a view that is behind. Returns at most 1,000 wrong entries of a history.
 */
export async function checkView<V>(check: Check<V>): Promise<Finding[]> {
  const { projection, collection, logs, id, settleMs } = check;
  const deadline = performance.now() + settleMs;
  for (;;) {
    const [stored] = await collection.load([id]);
    if (stored && isEntry(projection, stored)) return checkEntry(logs, stored);
    const findings = await compare(check, stored);
    const passing = findings.every(({ kind }) => kind === 'behind' || kind === 'missing');
    if (findings.length === 0 || !passing || performance.now() >= deadline) return findings;
    await sleep(100);
  }
}

/** The id of a history's entry is the event's id; that of its cursor is the stream's name. */
function isEntry<V>({ kind }: Projection<V>, { id, streams }: StoredDocument): boolean {
  return kind === 'one-per-event' && streams[id] === undefined;
}

/** Whether the log has the entry's event. The content of the entry is checked with its stream. */
async function checkEntry(logs: Logs, { id, streams }: StoredDocument): Promise<Finding[]> {
  const [stream, version] = Object.entries(streams)[0]!;
  const log = logs.get(domainOf(stream));
  const [event] = (await log?.readStreams([{ stream, afterVersion: version - 1 }], { limit: 1 })) ?? [];
  return event?.eventId === id ? [] : [{ kind: 'extra', id, detail: `no event of ${stream} has this id` }];
}

/** The view's events of a page. An event that can't be decoded leaves a gap, which ends its stream like a failure. */
function eventsOf<V>({ projection, id }: Check<V>, page: RecordedEvent[]): Followed<V>[] {
  return page.flatMap((event) => {
    try {
      const followed = followEvent(projection, event);
      return followed?.view === id ? [followed] : [];
    } catch {
      return [];
    }
  });
}

/** Folds the log page by page, once to its end and once to the versions that the stored view has seen. */
async function compare<V>(check: Check<V>, stored: StoredDocument | undefined): Promise<Finding[]> {
  const { projection, collection, logs, id, onRead } = check;
  const streams = [...new Set([...check.streams, ...Object.keys(stored?.streams ?? {})])];
  const wrongEntries: Finding[] = [];
  let whole: Expected | undefined;
  let seen: Expected | undefined;
  for await (const page of readWholeStreams(logs, streams)) {
    onRead?.(page.length);
    const events = eventsOf(check, page);
    whole = expectedOf(projection, id, whole, events).documents.find((document) => document.id === id) ?? whole;
    const known = events.filter(({ recorded }) => recorded.version <= (stored?.streams[recorded.stream] ?? 0));
    const { documents } = expectedOf(projection, id, seen, known);
    seen = documents.find((document) => document.id === id) ?? seen;
    const entries = documents.filter((document) => document.id !== id);
    if (wrongEntries.length < entriesListedAtMost)
      wrongEntries.push(...(await compareEntries(collection, id, entries)));
  }

  const lossy = stored && [...logs.values()].find((log) => hasLost(stored, log.domain, log.epochs?.() ?? []));
  if (lossy) return [{ kind: 'differing', id, detail: `has events that the log of ${lossy.domain} has lost` }];
  if (!whole) return stored ? [{ kind: 'extra', id, detail: 'no event of the log belongs to it' }] : [];
  if (!stored) return [{ kind: 'missing', id, detail: `should have seen ${JSON.stringify(whole.streams)}` }];
  for (const [stream, version] of Object.entries(stored.streams))
    if (version > (whole.streams[stream] ?? 0))
      return [{ kind: 'differing', id, detail: `has seen version ${version} of ${stream}, further than the log goes` }];
  const findings = wrongEntries.slice(0, entriesListedAtMost);
  if (!sameView(stored.view, seen?.view)) findings.push({ kind: 'differing', id, detail: 'is not what the log says' });
  if (findings.length === 0 && !isDeepStrictEqual(sorted(stored.streams), sorted(whole.streams)))
    findings.push({
      kind: 'behind',
      id,
      detail: `has seen ${JSON.stringify(stored.streams)} of ${JSON.stringify(whole.streams)}`,
    });
  return findings;
}

async function compareEntries(collection: Collection, cursor: string, entries: Expected[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (let place = 0; place < entries.length; place += loadSize) {
    const part = entries.slice(place, place + loadSize);
    const stored = new Map((await collection.load(part.map(({ id }) => id))).map((one) => [one.id, one]));
    for (const { id, view } of part) {
      const found = stored.get(id);
      if (!found) findings.push({ kind: 'missing', id, detail: `is an entry of ${cursor}` });
      else if (!sameView(found.view, view))
        findings.push({ kind: 'differing', id, detail: 'is not what the log says' });
    }
  }
  return findings;
}

function sorted(streams: Record<string, number>): [string, number][] {
  return Object.entries(streams).sort(([a], [b]) => (a < b ? -1 : 1));
}
