/**
 * What messages without a valid seal lead to: the log is read at the places that they name, and what is there is handled. Whoever
 * makes such messages up causes looks, which are bounded: docs/message-seals.md.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent, StreamCursor } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { type Logs, logOf } from '../logs.ts';

/** The place of an event, as a message names it. */
export type NamedPlace = Pick<RecordedEvent, 'stream' | 'version'>;

const streamsAtOnce = 64;
const eventsAtOnce = 256;
/** Looks for a batch of messages. */
const maxLooks = 32;
/** Streams that were looked for in vain: so many at once, and so many a second. */
const maxVain = 200;
const vainPerSecond = 20;
/** How long a log that can't be reached is waited for, and how long it is not asked after that. */
const patienceMs = 5_000;
const awayMs = 30_000;
const pause = { firstMs: 100, maxMs: 1_000 };
/** What a log takes. */
const maxStream = 200;
const maxVersion = 2 ** 31 - 1;

const log = logger('seals');
const outcomes = counter(
  'unsealed_streams_total',
  'Streams that messages without a valid seal named, by outcome: found in the log, absent, left to reconciliation',
);

/** Whether a log can be asked for it. */
function isPlace({ stream, version }: NamedPlace): boolean {
  return stream.length <= maxStream && !/\p{Cc}/u.test(stream) && version >= 1 && version <= maxVersion;
}

/** Reads what the logs have at these places, and behind them. Never throws. */
export type ReadUnsealed = (places: NamedPlace[], signal: AbortSignal) => Promise<RecordedEvent[]>;

export function openUnsealed({ handler, logs }: { handler: string; logs: Logs }): ReadUnsealed {
  let vain = maxVain;
  let vainAt = performance.now();
  /** By domain. */
  const awayUntil = new Map<string, number>();
  const count = (outcome: string, streams: number) => {
    if (streams > 0) outcomes.add(streams, { handler, outcome });
  };

  function mayLook(): boolean {
    const now = performance.now();
    vain = Math.min(maxVain, vain + ((now - vainAt) / 1_000) * vainPerSecond);
    vainAt = now;
    return vain >= 1;
  }

  /** Undefined if the log can't be read, or does not take the question. */
  async function look(domain: string, cursors: StreamCursor[], signal: AbortSignal) {
    const patientUntil = performance.now() + patienceMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await logOf(logs, cursors[0]!.stream).readStreams(cursors, { limit: eventsAtOnce });
      } catch (error) {
        const isAway = isTransient(error);
        if (isAway && performance.now() < patientUntil && !signal.aborted) {
          await sleep(backoffMs(attempt, pause), signal);
          continue;
        }
        if (isAway) awayUntil.set(domain, performance.now() + awayMs);
        log.warn({ handler, domain, err: error }, 'messages without a seal are left to reconciliation');
        return undefined;
      }
    }
  }

  async function readDomain(domain: string, places: NamedPlace[], signal: AbortSignal): Promise<RecordedEvent[]> {
    const found: RecordedEvent[] = [];
    const last = new Map<string, number>();
    const rest = new Map<string, StreamCursor>();
    for (const { stream, version } of places) {
      last.set(stream, Math.max(version, last.get(stream) ?? 0));
      const afterVersion = Math.min(version - 1, rest.get(stream)?.afterVersion ?? version);
      rest.set(stream, { stream, afterVersion });
    }
    const isAway = () => (awayUntil.get(domain) ?? 0) > performance.now();
    for (let looks = 0; rest.size > 0 && looks < maxLooks && mayLook() && !isAway() && !signal.aborted; looks++) {
      const cursors = [...rest.values()].slice(0, streamsAtOnce);
      const events = await look(domain, cursors, signal);
      if (!events) break;
      found.push(...events);
      const reached = Map.groupBy(events, ({ stream }) => stream);
      const isFull = events.length >= eventsAtOnce;
      for (const { stream } of cursors) {
        const end = reached.get(stream)?.at(-1)?.version ?? 0;
        const isThere = end >= last.get(stream)!;
        // A full answer may not have reached a stream, or not its end.
        if (isFull && !isThere) {
          if (end > 0) rest.set(stream, { stream, afterVersion: end });
          continue;
        }
        rest.delete(stream);
        if (!isThere) vain -= 1;
        count(isThere ? 'found' : 'absent', 1);
      }
    }
    count('left', rest.size);
    return found;
  }

  return async (places, signal) => {
    const found: RecordedEvent[] = [];
    const readable = Map.groupBy(places.filter(isPlace), ({ stream }) => domainOf(stream));
    for (const [domain, ofDomain] of readable) found.push(...(await readDomain(domain, ofDomain, signal)));
    return found;
  };
}
