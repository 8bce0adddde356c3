/** Checks that a projection gives the same views for every interleaving of streams, each of which keeps its order. */
import type { EventCase } from '@caudal/contract/entity.ts';
import { entityOfStream, idOfStream } from '@caudal/contract/entity.ts';
import { evolve } from '@caudal/projections/fold.ts';
import { deleted, ignored, type ProjectedEvent, type Projection } from '@caudal/projections/types.ts';
import { expect } from '@jest/globals';

/** Some events of one stream, in order; the n-th happens `n` seconds after `from`. */
export interface StreamEvents {
  stream: string;
  events: EventCase[];
  from: Date;
}

/** The projection's views of these streams' events, by id, after checking that every interleaving gives the same. */
export function viewsOf<V>(projection: Projection<V>, streams: StreamEvents[]): Map<string, V> {
  const projected = streams.map(({ stream, events, from }) =>
    events.map(
      (event, index): ProjectedEvent => ({
        stream,
        id: idOfStream(stream),
        version: index + 1,
        eventId: `${stream}#${index + 1}`,
        at: new Date(from.getTime() + index * 1000),
        event,
      }),
    ),
  );
  let first: Map<string, V> | undefined;
  for (const order of interleavings(projected)) {
    const views = fold(projection, order);
    first ??= views;
    expect(views).toEqual(first);
  }
  return first ?? new Map();
}

function fold<V>(projection: Projection<V>, events: ProjectedEvent[]): Map<string, V> {
  const views = new Map<string, V>();
  for (const event of events) {
    const follow = projection.follows.find(({ entity }) => entity.name === entityOfStream(event.stream));
    const view = follow?.view(event);
    if (!follow || view === undefined) continue;
    // A history has a document for each event.
    const id = projection.kind === 'one-per-event' ? event.eventId : view;
    const after = evolve(projection, views.get(id), { follow, projected: event });
    if (after === ignored) continue;
    if (after === deleted) views.delete(id);
    // The view as a store returns it.
    else views.set(id, projection.codec.fromJSON(JSON.parse(JSON.stringify(projection.codec.toJSON(after)))));
  }
  return views;
}

function* interleavings<T>(streams: T[][]): Iterable<T[]> {
  const rest = streams.filter((stream) => stream.length > 0);
  if (rest.length === 0) yield [];
  for (const [index, [head, ...tail]] of rest.entries()) {
    for (const others of interleavings(rest.with(index, tail))) yield [head as T, ...others];
  }
}
