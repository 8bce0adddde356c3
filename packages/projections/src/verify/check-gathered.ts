/**
 * Compares the views of a multi-stream projection with a fold of the logs, each view up to exactly the positions that it
 * claims. See README, How views are verified.
 */
import { createHash } from 'node:crypto';
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { foldSteps, type Step, stateOf, stepsOf, type ViewState } from '../multi-stream/fold.ts';
import type { MultiStreamProjection } from '../multi-stream/types.ts';
import { type Logs, readToHeads } from '../read-logs.ts';
import type { Collection } from '../stores/store.ts';
import type { Finding } from './check-view.ts';
import { factsFromLog } from './facts-from-log.ts';
import { shareOf, type VerifyProgress, type VerifyReport } from './report.ts';

export interface CheckGatheredOptions<V> {
  projection: MultiStreamProjection<V>;
  collection: Collection;
  logs: Logs;
  onProgress?(progress: VerifyProgress): void;
  /** Views in memory at a time, and facts of as many streams; 200,000 if absent. */
  maxViews?: number;
  settleMs: number;
  /** By domain: up to which position the views must have the log; to its end if absent. */
  upTo?: ReadonlyMap<string, number>;
}

type Positions = Record<string, number>;

/** A view in a pass. */
interface Checked<V> {
  /** The stored view; undefined: it is not stored. */
  claimed: { positions: Positions; fingerprint: string } | undefined;
  /** The fold up to the claimed positions. */
  seen: ViewState<V>;
  /** The fold to the end, if there are later events. */
  whole?: ViewState<V>;
}

const listedAtMost = 1_000;
/** How many failed streams are remembered and left out from their failure on. */
const heldAtMost = 100_000;
const pageSize = 500;
const pauseMs = 100;

export async function checkGathered<V>(options: CheckGatheredOptions<V>): Promise<Omit<VerifyReport, 'generation'>> {
  const { projection, collection, logs, onProgress, maxViews = 200_000, settleMs } = options;
  const report: Omit<VerifyReport, 'generation'> = {
    documents: 0,
    counts: { missing: 0, differing: 0, behind: 0, extra: 0 },
    findings: [],
    failed: [],
    failedCount: 0,
  };
  const held = new Set<string>();
  const find = (finding: Finding) => {
    report.counts[finding.kind] += 1;
    if (report.findings.length < listedAtMost) report.findings.push(finding);
  };
  const passes = Math.max(1, Math.ceil((await collection.count([])) / maxViews));
  for (let pass = 1; pass <= passes; pass++) {
    const mine = (id: string) => passes === 1 || shareOf(id, passes) === pass - 1;
    const views = await whatIsClaimed(options, mine);
    report.documents += views.size;
    const facts = factsFromLog({ projection, logs, maxStreams: maxViews });
    for await (const { domain, events, position, head } of readToHeads({ projection, logs })) {
      await facts.prepare(events.filter(({ stream }) => !held.has(stream)));
      for (const event of events) {
        if (held.has(event.stream)) continue;
        const { steps, failure } = stepsOf(projection, [event], facts.known);
        const failed = failure ?? steps.map((step) => apply(options, step, { views, mine })).find(Boolean);
        if (!failed || held.size === heldAtMost) continue;
        held.add(event.stream);
        report.failedCount += 1;
        const { stream, version } = event;
        if (report.failed.length < listedAtMost) report.failed.push({ stream, version, error: String(failed.error) });
      }
      onProgress?.({ pass, passes, domain, position, head });
    }
    const behind = new Map<string, Positions>();
    for (const [id, view] of views) {
      const wrong = judge(projection, id, view);
      if (wrong) find(wrong);
      else if (view.whole && Object.keys(view.whole.positions).length > 0) behind.set(id, view.whole.positions);
    }
    for (const finding of await stillBehind(collection, behind, settleMs)) find(finding);
  }
  return report;
}

/** The stored views of a share. */
async function whatIsClaimed<V>(
  { projection, collection }: CheckGatheredOptions<V>,
  mine: (id: string) => boolean,
): Promise<Map<string, Checked<V>>> {
  const views = new Map<string, Checked<V>>();
  await collection.refresh();
  for (let afterId: string | undefined; ; ) {
    const page = await collection.scan({ afterId, limit: pageSize });
    for (const { id, view, streams } of page.filter((document) => mine(document.id))) {
      const claimed = { positions: streams, fingerprint: fingerprintOf(view) };
      views.set(id, { claimed, seen: stateOf(projection, undefined) });
    }
    if (page.length < pageSize) return views;
    afterId = page.at(-1)!.id;
  }
}

/** Folds an event into the views of the pass, up to each claimed position and beyond. Returns the failure, if any. */
function apply<V>(
  { projection, upTo }: CheckGatheredOptions<V>,
  step: Step<V>,
  { views, mine }: { views: Map<string, Checked<V>>; mine(id: string): boolean },
): { event: RecordedEvent; error: unknown } | undefined {
  const { position, stream } = step.recorded;
  const domain = domainOf(stream);
  const isWanted = position <= (upTo?.get(domain) ?? Infinity);
  const isClaimed = ({ claimed }: Checked<V>) => position <= (claimed?.positions[domain] ?? 0);
  for (const id of step.ids.filter(mine)) {
    const view = views.get(id);
    if (view && (isClaimed(view) || !isWanted)) continue;
    if (!view && !isWanted) continue;
    const checked = view ?? { claimed: undefined, seen: stateOf(projection, undefined) };
    // Views are never changed in place, so both may share one.
    checked.whole ??= { ...checked.seen, positions: { ...checked.seen.positions } };
    views.set(id, checked);
  }
  const seen = foldSteps(projection, [step], (id) => {
    const view = views.get(id);
    return view && isClaimed(view) ? view.seen : undefined;
  });
  return seen.failure ?? foldSteps(projection, [step], (id) => views.get(id)?.whole).failure;
}

/** What is wrong with the stored view; undefined: nothing. */
function judge<V>(
  projection: MultiStreamProjection<V>,
  id: string,
  { claimed, seen }: Checked<V>,
): Finding | undefined {
  if (!claimed) return undefined;
  const found = Object.entries(seen.positions);
  if (found.length === 0) return { kind: 'extra', id, detail: 'no event of the log belongs to it' };
  if (!sameNumbers(claimed.positions, seen.positions)) {
    const detail = `claims ${JSON.stringify(claimed.positions)}, the last events of the log in it are at ${JSON.stringify(seen.positions)}`;
    return { kind: 'differing', id, detail };
  }
  const view = seen.view === undefined ? undefined : projection.codec.toJSON(seen.view);
  if (fingerprintOf(view) === claimed.fingerprint) return undefined;
  return { kind: 'differing', id, detail: 'is not what the log says' };
}

/** Waits until the stored views reach these positions. Those that do not are behind, or missing. */
async function stillBehind(
  collection: Collection,
  behind: Map<string, Positions>,
  settleMs: number,
): Promise<Finding[]> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const findings: Finding[] = [];
    const ids = [...behind.keys()];
    for (let place = 0; place < ids.length; place += pageSize) {
      const part = ids.slice(place, place + pageSize);
      const stored = new Map((await collection.load(part)).map(({ id, streams }) => [id, streams]));
      for (const id of part) {
        const wanted = behind.get(id)!;
        const positions = stored.get(id);
        if (positions && Object.entries(wanted).every(([domain, position]) => (positions[domain] ?? 0) >= position)) {
          behind.delete(id);
          continue;
        }
        const detail = positions
          ? `is at ${JSON.stringify(positions)} of ${JSON.stringify(wanted)}`
          : `should be at ${JSON.stringify(wanted)}`;
        findings.push({ kind: positions ? 'behind' : 'missing', id, detail });
      }
    }
    if (findings.length === 0 || performance.now() >= deadline) return findings;
    await sleep(pauseMs);
  }
}

function sameNumbers(one: Positions, other: Positions): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

/** A hash of the JSON that does not depend on the order of fields, which differs between stores. */
function fingerprintOf(view: unknown): string {
  const sorted = (_: string, value: unknown) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return createHash('sha256')
    .update(JSON.stringify(view, sorted) ?? '')
    .digest('base64');
}
