/**
 * A small saga, and a world for it, for the tests of this package.
 *
 *   order confirmed ──> started ──> reserve ──┐
 *   shipment delivered ──> delivered ─────────┴──> commit (after the wait) ──> mark ──> done
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, fulfilment, order, shipment } from '@caudal/contract/entities.ts';
import type { Entity, EventCase } from '@caudal/contract/entity.ts';
import { FulfilmentStarted } from '@caudal/contract/gen/caudal/orders/v1/events.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { observe } from '../observe.ts';
import type { Saga, StepContext } from '../types.ts';

export type Fact = EventOf<typeof fulfilment>;

export interface State {
  started: boolean;
  deliveredAt: Date | undefined;
  done: readonly string[];
}

/** The rules of its state: one object for all, since a stream allows only one decider object. */
export const stateDecider: Decider<State, Fact> = {
  entity: fulfilment,
  initial: { started: false, deliveredAt: undefined, done: [] },
  evolve(state, event, at) {
    switch (event.$case) {
      case 'started':
        return { ...state, started: true };
      case 'delivered':
        return { ...state, deliveredAt: at };
      default:
        return { ...state, done: [...state.done, event.$case] };
    }
  },
};

export type StepName = 'reserve' | 'commit' | 'mark';

const facts: Record<StepName, Fact> = {
  reserve: { $case: 'reserved', value: { reservationId: 'r', expireTime: undefined } },
  commit: { $case: 'committed', value: {} },
  mark: { $case: 'orderMarked', value: { status: 'delivered' } },
};

/** Called in a step before it does anything; throws to fail it. */
export type Hook = (context: StepContext) => unknown;

export interface World {
  saga: Saga<State, Fact>;
  /** The steps that were run, in order: `reserve a`. */
  calls: string[];
  /** Commands that were done, each once even if it was repeated. */
  effects: Set<string>;
  hooks: Partial<Record<StepName, Hook>>;
}

/** `waitMs`: how long after the delivery the commit is due. `name`: of the saga; unique in its database. */
export function createWorld({ name, waitMs = 0 }: { name: string; waitMs?: number }): World {
  const world: Omit<World, 'saga'> = { calls: [], effects: new Set(), hooks: {} };
  const saga: Saga<State, Fact> = {
    name,
    state: stateDecider,
    observes: [
      observe(order, {
        saga: ({ id }) => sagaOf(id),
        reactions: {
          confirmed: (state, _event, { id }) =>
            state.started ? [] : [{ $case: 'started', value: FulfilmentStarted.fromPartial({ orderId: id }) }],
        },
      }),
      observe(shipment, {
        saga: ({ id }) => sagaOf(id),
        reactions: {
          delivered: (state) => (state.deliveredAt ? [] : [{ $case: 'delivered', value: {} }]),
          cancelled() {
            throw new Error('no saga can handle this event');
          },
        },
      }),
    ],
    next({ started, deliveredAt, done }) {
      if (started && !done.includes('reserved')) return { name: 'reserve' };
      if (!done.includes('reserved') || !deliveredAt) return undefined;
      if (!done.includes('committed')) {
        const dueAt = waitMs > 0 ? new Date(deliveredAt.getTime() + waitMs) : undefined;
        return { name: 'commit', dueAt, afterAppend: true };
      }
      return done.includes('orderMarked') ? undefined : { name: 'mark' };
    },
    async run(step, _state, context) {
      const stepName = step.name as StepName;
      const call = `${stepName} ${context.sagaId}`;
      world.calls.push(call);
      await world.hooks[stepName]?.(context);
      world.effects.add(call);
      return [facts[stepName]];
    },
  };
  return Object.assign(world, { saga });
}

/** Streams `a`, `a.1`, `a.2` belong to saga `a`. */
function sagaOf(id: string): string {
  return id.split('.')[0]!;
}

const origin = { actor: 'test', causationId: '', correlationId: 'c', traceparent: '' };
let position = 0;

/** An event as recorded in the log. */
export function recorded<E extends EventCase>(entity: Entity<E>, id: string, version: number, event: E): RecordedEvent {
  const recordedAt = new Date('2026-01-01T00:00:00Z');
  position += 1;
  return {
    ...newEvent({ entity, event, origin, now: recordedAt }),
    stream: entity.stream(id),
    version,
    position,
    recordedAt,
  };
}

export const confirmed = (id: string, version = 1) =>
  recorded(order, id, version, { $case: 'confirmed', value: { customerId: 'c' } });
/** Concerns no saga. */
export const shipped = (id: string, version: number) =>
  recorded(order, id, version, { $case: 'shipped', value: { customerId: 'c' } });
export const delivered = (id: string, version = 1) =>
  recorded(shipment, id, version, { $case: 'delivered', value: { orderId: id, shipmentId: id, partial: false } });
/** Can't be handled. */
export const poison = (id: string, version = 1) =>
  recorded(shipment, id, version, {
    $case: 'cancelled',
    value: { orderId: id, shipmentIds: [], completes: false, reason: '' },
  });

/** A clock that stands until it is moved. */
export function testClock() {
  let now = new Date('2026-01-01T00:00:00Z').getTime();
  return {
    clock: () => new Date(now),
    pass(ms: number) {
      now += ms;
    },
  };
}
