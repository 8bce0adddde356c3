/** The check of a new generation before queries read it: some of its views are folded again, and compared. */

import { domainOf } from '@caudal/contract/entity.ts';
import { endOfLog } from '@caudal/eventlog/end-of-log.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { followEvent, viewOfStream } from '../events.ts';
import { type AnyProjection, isMultiStream, type MultiStreamProjection } from '../multi-stream/types.ts';
import { collectionOf } from '../projector.ts';
import { type Logs, logsOf } from '../read-logs.ts';
import { nameOf } from '../stores/keys.ts';
import type { ViewStore } from '../stores/store.ts';
import type { Projection } from '../types.ts';
import { checkGathered } from '../verify/check-gathered.ts';
import { checksAtATime, checkView, type Finding } from '../verify/check-view.ts';
import { patiently } from './patience.ts';

export interface BuiltOptions<V> {
  projection: AnyProjection<V>;
  store: ViewStore;
  generation: number;
  logs: Logs;
  /** Streams whose views are compared. */
  sample: string[];
  /** How far each log is folded in. */
  upTo: ReadonlyMap<string, number>;
  signal: AbortSignal;
}

/** After this many events were read for the sample, no further view is compared. */
const sampleEvents = 50_000;

/**
 * Compares some views with the logs; returns how many. A view that is only behind counts as right. REBUILD_DIFFERS if one
 * is wrong.
 */
export async function verifyBuilt<V>(options: BuiltOptions<V>): Promise<number> {
  const { projection, signal } = options;
  if (!isMultiStream(projection)) return verifyStreams({ ...options, projection });
  return patiently(() => verifyGathered({ ...options, projection }), signal);
}

/** Views of some streams. */
async function verifyStreams<V>(options: BuiltOptions<V> & { projection: Projection<V> }): Promise<number> {
  const { projection, logs, sample, signal } = options;
  const collection = collectionOf(options);
  const streams = new Map<string, string[]>();
  await forEachConcurrent(sample, checksAtATime, async (stream) => {
    const id = await patiently(() => viewOf(projection, logs, stream), signal);
    if (id !== undefined) streams.set(id, [...(streams.get(id) ?? []), stream]);
  });
  let verified = 0;
  let read = 0;
  await forEachConcurrent(streams, checksAtATime, async ([id, ofView]) => {
    if (read >= sampleEvents) return;
    const onRead = (events: number) => {
      read += events;
    };
    const check = () => checkView({ projection, collection, logs, id, streams: ofView, settleMs: 0, onRead });
    refuse(projection, await patiently(check, signal));
    verified += 1;
  });
  return verified;
}

/** The view of a stream's events. */
async function viewOf<V>(projection: Projection<V>, logs: Logs, stream: string): Promise<string | undefined> {
  const named = viewOfStream(projection, stream);
  if (named) return named.view;
  const [event] = (await logs.get(domainOf(stream))?.readStreams([{ stream, afterVersion: 0 }], { limit: 1 })) ?? [];
  return event && followEvent(projection, event)?.view;
}

/** Checking a gathered view needs the whole log: so all views are checked if it is short, and none if it is long. */
async function verifyGathered<V>(options: BuiltOptions<V> & { projection: MultiStreamProjection<V> }): Promise<number> {
  const { projection, logs, upTo } = options;
  let events = 0;
  for (const log of logsOf(projection, logs)) events += await endOfLog(log);
  if (events > sampleEvents) return 0;
  const collection = collectionOf(options);
  const { documents, findings } = await checkGathered({ projection, collection, logs, upTo, settleMs: 0 });
  refuse(projection, findings);
  return documents;
}

function refuse(projection: { name: string; version: number }, findings: Finding[]): void {
  const wrong = findings.find(({ kind }) => kind !== 'behind');
  if (!wrong) return;
  throw new CaudalError(
    'FAILED_PRECONDITION',
    'REBUILD_DIFFERS',
    `${nameOf(projection)}: the new view ${wrong.id} is not what the log says (${wrong.kind}: ${wrong.detail}).`,
    { metadata: { view: wrong.id } },
  );
}
