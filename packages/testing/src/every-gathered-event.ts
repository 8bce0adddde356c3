/**
 * Holds a multi-stream projection to what every-event.ts demands of the others: it accepts every event of the contract, with and
 * without facts and views, and an event that only a newer version knows changes nothing. Faults are lines of text.
 */
import { isDeepStrictEqual } from 'node:util';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Gather, GatheredEvent, MultiStreamProjection } from '@caudal/projections/multi-stream/types.ts';
import { deleted, ignored } from '@caudal/projections/types.ts';
import { sampleEvents, unknownCase } from './sample-events.ts';

const at = new Date('2026-01-01T00:00:00Z');

/** What the projection does wrong, of the events of the entities that it gathers from. */
export function gatheringFaults<V>(projection: MultiStreamProjection<V>): string[] {
  const faults = new Set<string>();
  const views = new Map<string, V>();
  const written = (view: V): V => projection.codec.fromJSON(JSON.parse(JSON.stringify(projection.codec.toJSON(view))));

  /** The facts after one more event; applies it to the views. */
  function after(gather: Gather<V>, facts: unknown, event: EventCase): unknown {
    const fault = (what: string) => faults.add(`${projection.name}: ${gather.entity.name} ${event.$case} ${what}`);
    const isKnown = event !== unknownCase;
    const stream = gather.entity.stream('any');
    const gathered: GatheredEvent = { stream, id: 'any', version: 1, eventId: 'e', at, event, facts };
    try {
      for (const id of gather.views(gathered)) {
        for (const view of new Set([undefined, views.get(id)])) {
          const evolved = gather.evolve(view, gathered, id);
          if (evolved === ignored || evolved === deleted) continue;
          if (evolved === undefined) fault('leaves neither a view nor a word');
          else if (!isKnown && !isDeepStrictEqual(evolved, view)) fault('changes a view, although it is unknown here');
          else views.set(id, written(evolved));
        }
      }
      const remembered = gather.facts?.remember(gathered);
      if (!isKnown && !isDeepStrictEqual(remembered, facts)) fault('changes facts, although it is unknown here');
      return (
        remembered && gather.facts!.codec.fromJSON(JSON.parse(JSON.stringify(gather.facts!.codec.toJSON(remembered))))
      );
    } catch (error) {
      fault(`fails: ${error}`);
      return facts;
    }
  }

  for (const gather of projection.gathers) {
    const all = [...sampleEvents(gather.entity), unknownCase];
    // Each event first, then all in order and backwards; and each again in every state that this has led to.
    const states = new Set<unknown>([undefined, ...all.map((event) => after(gather, undefined, event))]);
    for (const order of [all, all.toReversed()]) {
      let facts: unknown;
      for (const event of order) {
        facts = after(gather, facts, event);
        states.add(facts);
      }
    }
    for (const facts of states) for (const event of all) after(gather, facts, event);
  }
  return [...faults];
}
