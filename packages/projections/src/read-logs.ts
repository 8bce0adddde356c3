/** Reads whole logs, for rebuilding and verifying. */
import { domainOf, entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { entitiesOf, followedDomains } from './events.ts';
import type { AnyProjection } from './multi-stream/types.ts';

/** By domain. */
export type Logs = ReadonlyMap<string, LogReader>;

export interface LogPage {
  domain: string;
  /** Those of the projection's entities, in the log's order. */
  events: RecordedEvent[];
  /** How far the domain's log is read. */
  position: number;
  /** The position at which reading of this log ends. */
  head: number;
}

const pageSize = 2_000;

/** The logs that a projection reads. Throws if one is missing. */
export function logsOf<V>(projection: AnyProjection<V>, logs: Logs): LogReader[] {
  return [...followedDomains(projection)].map((domain) => {
    const log = logs.get(domain);
    if (!log) throw new Error(`${projection.name} follows ${domain}, and no log of it is given`);
    return log;
  });
}

/**
 * Reads each log of a projection from after `positions` (0 if absent) to the head that it has when its reading begins.
 * The next page is read while one is worked on.
 */
export async function* readToHeads<V>(options: {
  projection: AnyProjection<V>;
  logs: Logs;
  positions?: ReadonlyMap<string, number>;
}): AsyncIterable<LogPage> {
  const { projection, logs, positions = new Map<string, number>() } = options;
  const followed = new Set(entitiesOf(projection));
  for (const log of logsOf(projection, logs)) {
    const { domain } = log;
    let position = positions.get(domain) ?? 0;
    let page = await log.readLog(position, { limit: pageSize });
    const { head } = page;
    while (page.events.length > 0 && position < head) {
      const { events } = page;
      position = events.at(-1)!.position;
      const next = position < head ? log.readLog(position, { limit: pageSize }) : undefined;
      // If the caller fails on this page, the read of the next one is never awaited.
      next?.catch(() => {});
      yield { domain, events: events.filter(({ stream }) => followed.has(entityOfStream(stream))), position, head };
      if (!next) break;
      page = await next;
    }
  }
}

/** All events of some streams, from their beginnings, or after a version, stream by stream. */
export async function* readWholeStreams(logs: Logs, streams: string[], after = 0): AsyncIterable<RecordedEvent[]> {
  for (const stream of streams) {
    const domain = domainOf(stream);
    for (let afterVersion = after; ; ) {
      const events = (await logs.get(domain)?.readStreams([{ stream, afterVersion }], { limit: pageSize })) ?? [];
      if (events.length === 0) break;
      yield events;
      afterVersion = events.at(-1)!.version;
    }
  }
}
