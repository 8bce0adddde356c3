/**
 * The stock of a product: pieces on hand, and reservations, which promise some of them until they are committed (the
 * pieces leave), released, or expired. A reservation ends only by an event: the first of them in the log wins.
 *
 * Ended reservations are remembered for 30 days, so that a repeated or late command about one is recognised: that is the
 * horizon of repeats everywhere (the log keeps command ids as long).
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, stock } from '@caudal/contract/entities.ts';
import { emptyMemory, forget, type Memory, recall, remember } from '@caudal/kernel/memory.ts';
import { kindNamed } from './kinds.ts';

export type StockEvent = EventOf<typeof stock>;

export interface StockState {
  /** Empty before the item was created. */
  productId: string;
  kind: string;
  policy: Readonly<Record<string, string>>;
  /** Pieces in the warehouse. */
  onHand: bigint;
  /** Pieces promised: the sum of the open reservations. */
  reserved: bigint;
  /** Reservations that hold pieces. Never more than there are pieces. */
  open: Memory<OpenReservation>;
  /** Reservations that hold none any more, for 30 days. */
  ended: Memory<EndedReservation>;
  updatedAt: Date | undefined;
}

export interface OpenReservation {
  quantity: bigint;
  /** From when on it may be expired. */
  expireAt: Date;
}

export interface EndedReservation {
  /** 'barred': released before it was there. 'returned': committed, then put back. */
  how: 'committed' | 'released' | 'expired' | 'returned' | 'barred';
  quantity: bigint;
}

const rememberedMs = 30 * 86_400_000;

/** Until when something of this moment is remembered. */
export function rememberedUntil(now: Date): Date {
  return new Date(now.getTime() + rememberedMs);
}

export const stockDecider: Decider<StockState, StockEvent> = {
  entity: stock,
  initial: {
    productId: '',
    kind: '',
    policy: {},
    onHand: 0n,
    reserved: 0n,
    open: emptyMemory(),
    ended: emptyMemory(),
    updatedAt: undefined,
  },
  evolve: (state, event, at) => ({ ...state, ...change(state, event, at), updatedAt: at }),
  snapshot: { every: 500, schemaVersion: 1 },
};

/** What the event changes. */
function change(state: StockState, event: StockEvent, at: Date): Partial<StockState> {
  switch (event.$case) {
    case 'created':
      return {
        productId: event.value.productId,
        kind: event.value.kind,
        policy: event.value.policy,
        onHand: event.value.quantity,
      };
    case 'restocked':
      return { onHand: state.onHand + event.value.quantity };
    case 'adjusted':
      return { onHand: state.onHand + event.value.delta };
    case 'reserved': {
      const { reservationId, quantity, expireTime } = event.value;
      const reservation = { quantity, expireAt: expireTime! };
      return {
        reserved: state.reserved + quantity,
        open: remember(state.open, reservationId, reservation, Number.POSITIVE_INFINITY, at),
      };
    }
    case 'committed':
      return { ...end(state, event.value, 'committed', at), onHand: state.onHand - event.value.quantity };
    case 'released':
      return end(state, event.value, 'released', at);
    case 'expired':
      return end(state, event.value, 'expired', at);
    case 'barred': {
      const { reservationId, until } = event.value;
      return { ended: remember(state.ended, reservationId, { how: 'barred', quantity: 0n }, until!, at) };
    }
    case 'returned': {
      const { reservationId, quantity } = event.value;
      return {
        onHand: state.onHand + quantity,
        ended: remember(state.ended, reservationId, { how: 'returned', quantity }, rememberedUntil(at), at),
      };
    }
  }
}

function end(
  state: StockState,
  { reservationId, quantity }: { reservationId: string; quantity: bigint },
  how: EndedReservation['how'],
  at: Date,
): Partial<StockState> {
  return {
    reserved: state.reserved - quantity,
    open: forget(state.open, reservationId),
    ended: remember(state.ended, reservationId, { how, quantity }, rememberedUntil(at), at),
  };
}

/** The reservation that holds pieces under this id. */
export function openReservation(state: StockState, id: string): OpenReservation | undefined {
  return recall(state.open, id);
}

/** How the reservation of this id ended, if that is still remembered. */
export function endedReservation(state: StockState, id: string, now: Date): EndedReservation | undefined {
  return recall(state.ended, id, now);
}

/** Pieces that can be promised now. Whatever the kind says, never pieces that are not there or promised already. */
export function availableOf(state: StockState): bigint {
  if (state.productId === '') return 0n;
  const kind = kindNamed(state.kind);
  if (!kind) throw new Error(`Stock of "${state.productId}" is of the kind "${state.kind}", which is not registered`);
  const free = state.onHand - state.reserved;
  const allowed = kind.available(state);
  return allowed < free ? allowed : free;
}

/** An event that moves pieces, before it says what is available after it. */
type Unfinished = StockEvent extends infer E
  ? E extends { $case: infer C; value: { available: bigint } }
    ? { $case: C; value: Omit<E['value'], 'available'> }
    : never
  : never;

/** The event, saying what is available after it. */
export function moved(state: StockState, now: Date, unfinished: Unfinished): StockEvent {
  const event = { ...unfinished, value: { ...unfinished.value, available: 0n } } as StockEvent;
  const available = availableOf(stockDecider.evolve(state, event, now));
  return { ...event, value: { ...event.value, available } } as StockEvent;
}
