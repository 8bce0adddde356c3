/**
 * Verifies a projection: folds the logs again, in one or more passes, and compares every view with the stored one. See
 * README, How views are verified.
 */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { type Followed, followEvent } from '../events.ts';
import { currentGenerations } from '../generations/generations.ts';
import { type AnyProjection, isMultiStream } from '../multi-stream/types.ts';
import { generationName } from '../projector.ts';
import { type Logs, readToHeads } from '../read-logs.ts';
import { hasLost } from '../stores/marks.ts';
import type { Collection, StoredDocument, ViewStore } from '../stores/store.ts';
import type { Projection } from '../types.ts';
import { checkGathered } from './check-gathered.ts';
import { checksAtATime, checkView, type Expected, expectedOf, sameView } from './check-view.ts';
import { shareOf, type VerifyProgress, type VerifyReport } from './report.ts';

export interface VerifyOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  /** By domain; those of the projection's entities. */
  logs: Logs;
  onProgress?(progress: VerifyProgress): void;
  /** Views in memory at a time; 200,000 if absent. */
  maxViews?: number;
  /** How long views may be behind before that counts, in each pass; 5,000 ms if absent. */
  settleMs?: number;
}

const listedAtMost = 1_000;
/** How many failed streams are remembered and left out. Further ones are folded again and fail again. */
const heldAtMost = 100_000;
const scanSize = 500;

/** Verifies the current generation. Errors: UNAVAILABLE if store or logs can't be reached, or nothing is built. */
export async function verify<V>(options: VerifyOptions<V>): Promise<VerifyReport> {
  const { projection, store, settleMs = 5_000 } = options;
  const { number, collection } = await currentGenerations({ projection, store, clock: systemClock }).current();
  const generation = generationName(projection, number);
  if (isMultiStream(projection))
    return { generation, ...(await checkGathered({ ...options, projection, collection, settleMs })) };
  return verifyStreams({ ...options, projection, collection, generation });
}

/** Views of a handful of streams each. */
async function verifyStreams<V>(
  options: VerifyOptions<V> & { projection: Projection<V>; collection: Collection; generation: string },
): Promise<VerifyReport> {
  const { projection, collection, generation, logs, onProgress, maxViews = 200_000, settleMs = 5_000 } = options;
  const report: VerifyReport = {
    generation,
    documents: 0,
    counts: { missing: 0, differing: 0, behind: 0, extra: 0 },
    findings: [],
    failed: [],
    failedCount: 0,
  };
  const held = new Set<string>();
  const passes = Math.max(1, Math.ceil((await collection.count([])) / maxViews));
  for (let pass = 1; pass <= passes; pass++) {
    const mine = (id: string) => passes === 1 || shareOf(id, passes) === pass - 1;
    const expected = new Map<string, Expected>();
    for await (const page of readToHeads({ projection, logs })) {
      foldPage(projection, page.events, { mine, expected, report, held });
      onProgress?.({ pass, passes, domain: page.domain, position: page.position, head: page.head });
    }
    const open = await suspects({ projection, collection, expected, mine, report, logs });
    const deadline = performance.now() + settleMs;
    await forEachConcurrent(open, checksAtATime, async ([id, streams]) => {
      const left = Math.max(0, deadline - performance.now());
      for (const finding of await checkView({ projection, collection, logs, id, streams, settleMs: left })) {
        report.counts[finding.kind] += 1;
        if (report.findings.length < listedAtMost) report.findings.push(finding);
      }
    });
  }
  return report;
}

function foldPage<V>(
  projection: Projection<V>,
  events: RecordedEvent[],
  pass: { mine(id: string): boolean; expected: Map<string, Expected>; report: VerifyReport; held: Set<string> },
): void {
  const { mine, expected, report, held } = pass;
  const fail = ({ stream, version }: RecordedEvent, error: unknown) => {
    if (held.has(stream) || held.size === heldAtMost) return;
    held.add(stream);
    report.failedCount += 1;
    if (report.failed.length < listedAtMost) report.failed.push({ stream, version, error: String(error) });
  };
  const groups = new Map<string, Followed<V>[]>();
  for (const event of events) {
    if (held.has(event.stream)) continue;
    try {
      const followed = followEvent(projection, event);
      if (followed?.view === undefined || !mine(followed.view)) continue;
      const group = groups.get(followed.view);
      if (group) group.push(followed);
      else groups.set(followed.view, [followed]);
    } catch (error) {
      fail(event, error);
    }
  }
  for (const [id, group] of groups) {
    const { documents, failed } = expectedOf(projection, id, expected.get(id), group);
    for (const document of documents)
      expected.set(document.id, { id: document.id, streams: document.streams, view: document.view });
    for (const { event, error } of failed) fail(event, error);
  }
}

/** Documents that differ at first: ids of views (of histories: streams), with the streams that feed them. */
async function suspects<V>(pass: {
  projection: Projection<V>;
  collection: Collection;
  expected: Map<string, Expected>;
  mine(id: string): boolean;
  report: VerifyReport;
  logs: Logs;
}): Promise<Map<string, string[]>> {
  const { projection, collection, expected, mine, report, logs } = pass;
  const found = new Map<string, string[]>();
  const unitOf = ({ id, streams }: Pick<StoredDocument, 'id' | 'streams'>) =>
    projection.kind === 'one-per-event' ? Object.keys(streams)[0]! : id;
  await collection.refresh();
  for (let afterId: string | undefined; ; ) {
    const page = await collection.scan({ afterId, limit: scanSize });
    for (const stored of page.filter((document) => mine(unitOf(document)))) {
      report.documents += 1;
      const document = expected.get(stored.id);
      expected.delete(stored.id);
      const isLossy = [...logs.values()].some((log) => hasLost(stored, log.domain, log.epochs?.() ?? []));
      const isSame = document && sameSeen(document.streams, stored.streams) && sameView(document.view, stored.view);
      if (isSame && !isLossy) continue;
      // If the log does not have an entry's event, the fold of its stream does not show the entry: check it by its id.
      if (!document && unitOf(stored) !== stored.id) found.set(stored.id, Object.keys(stored.streams));
      found.set(unitOf(stored), Object.keys(stored.streams));
    }
    if (page.length < scanSize) break;
    afterId = page.at(-1)!.id;
  }
  for (const document of expected.values()) found.set(unitOf(document), Object.keys(document.streams));
  return found;
}

function sameSeen(one: Record<string, number>, other: Record<string, number>): boolean {
  const streams = Object.keys(one);
  return streams.length === Object.keys(other).length && streams.every((stream) => one[stream] === other[stream]);
}
