/** What a multi-stream projection makes of a log, without any store: for tests of its functions. */
import type { EventCase } from '@caudal/contract/entity.ts';
import { entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import type { GatheredEvent, MultiStreamProjection } from '@caudal/projections/multi-stream/types.ts';
import { deleted, ignored } from '@caudal/projections/types.ts';

/** An event of a log. */
export interface LogEvent {
  stream: string;
  at: Date;
  event: EventCase;
}

/** The projection's views of a log, by id, by a plain fold. Views and facts go through their codecs, as in a store. */
export function gatheredViews<V>(projection: MultiStreamProjection<V>, log: LogEvent[]): Map<string, V> {
  const views = new Map<string, unknown>();
  const facts = new Map<string, unknown>();
  const versions = new Map<string, number>();
  for (const [index, { stream, at, event }] of log.entries()) {
    const gather = projection.gathers.find(({ entity }) => entity.name === entityOfStream(stream));
    if (!gather) continue;
    const version = (versions.get(stream) ?? 0) + 1;
    versions.set(stream, version);
    const kept = facts.has(stream) ? gather.facts!.codec.fromJSON(facts.get(stream)) : undefined;
    const gathered: GatheredEvent = {
      stream,
      id: idOfStream(stream),
      version,
      eventId: `#${index + 1}`,
      at,
      event,
      facts: kept,
    };
    for (const id of new Set(gather.views(gathered))) {
      const before = views.has(id) ? projection.codec.fromJSON(views.get(id)) : undefined;
      const after = gather.evolve(before, gathered, id);
      if (after === ignored) continue;
      if (after === deleted) views.delete(id);
      else views.set(id, written(projection.codec.toJSON(after)));
    }
    const remembered = gather.facts?.remember(gathered);
    if (remembered === undefined) facts.delete(stream);
    else facts.set(stream, written(gather.facts!.codec.toJSON(remembered)));
  }
  return new Map([...views].map(([id, view]) => [id, projection.codec.fromJSON(view)]));
}

const written = (json: unknown): unknown => JSON.parse(JSON.stringify(json));
