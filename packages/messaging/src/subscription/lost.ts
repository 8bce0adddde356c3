/**
 * Sorts out events that a log has lost in a fail-over, while they were on their way or waited here: see docs/fail-over.md. It is
 * asked at each try to handle them, since the loss may become known in between.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import { endOfLog } from '@caudal/eventlog/end-of-log.ts';
import { isLost, presentOf } from '@caudal/eventlog/epochs.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { type Logs, logOf } from '../logs.ts';

const log = logger('subscription');
const dropped = counter(
  'lost_events_dropped_total',
  'Events that were not handled, because the log has lost them in a fail-over',
);

/** When a log was last asked, by performance.now(), and its answer: the handlers and queries of a process share their logs. */
const asked = new WeakMap<LogReader, { at: number; answer: Promise<unknown> }>();

/** Asks a log for its epochs, unless that was done in the last `withinMs`: then its answer to that counts. */
export async function learnEpochs(reader: LogReader, withinMs = 0): Promise<void> {
  const now = performance.now();
  if (!reader.epochs) return;
  let last = asked.get(reader);
  if (!last || now - last.at >= withinMs) {
    // Any read brings them; this one brings no event.
    last = { at: now, answer: endOfLog(reader) };
    asked.set(reader, last);
  }
  await last.answer;
}

/** Which of a log's events it still has, of those that do not say their epoch: sent by a relay of version 0.2. */
async function selectPresent(reader: LogReader, events: RecordedEvent[]): Promise<Set<string>> {
  const present = new Set<string>();
  for (const [stream, ofStream] of Map.groupBy(events, (event) => event.stream)) {
    const versions = ofStream.map(({ version }) => version);
    const first = Math.min(...versions);
    const cursors = [{ stream, afterVersion: first - 1 }];
    const read = await reader.readStreams(cursors, { limit: Math.min(1_000, Math.max(...versions) - first + 1) });
    for (const { eventId } of read) present.add(eventId);
  }
  return present;
}

async function lostOf(reader: LogReader, events: RecordedEvent[]): Promise<RecordedEvent[]> {
  const newest = Math.max(0, ...events.map(({ epoch }) => epoch ?? 0));
  if (newest > presentOf(reader.epochs!()).number) await learnEpochs(reader);
  const epochs = reader.epochs!();
  if (epochs.length === 0 && newest === 0) return [];
  const lost = events.filter((event) => event.epoch !== undefined && isLost(epochs, event));
  const silent = events.filter((event) => event.epoch === undefined && isLost(epochs, event));
  if (silent.length === 0) return lost;
  const present = await selectPresent(reader, silent);
  return [...lost, ...silent.filter(({ eventId }) => !present.has(eventId))];
}

/** Returns those of the events that the logs have. Errors: those of the logs, if they have to be asked. */
export async function withoutLost(
  { handler, logs }: { handler: string; logs: Logs },
  events: RecordedEvent[],
): Promise<RecordedEvent[]> {
  const lost = new Set<RecordedEvent>();
  for (const [domain, ofDomain] of Map.groupBy(events, ({ stream }) => domainOf(stream))) {
    const reader = logOf(logs, ofDomain[0]!.stream);
    if (!reader.epochs) continue;
    const found = await lostOf(reader, ofDomain);
    if (found.length === 0) continue;
    for (const event of found) lost.add(event);
    dropped.add(found.length, { handler, domain });
    const examples = found.slice(0, 10).map(({ stream, version, eventId }) => ({ stream, version, eventId }));
    log.error({ handler, domain, count: found.length, examples }, 'events are not handled that the log has lost');
  }
  return lost.size === 0 ? events : events.filter((event) => !lost.has(event));
}
