/**
 * The stock of a product: pieces on hand, and reservations, which promise some of them until they are committed (the
 * pieces leave), released, or expired. A reservation ends only by an event: the first of them in the log wins.
 *
 * Ended reservations are remembered for 7 days, so that a repeated or late command about one is recognised. Networks and
 * clients repeat within seconds; what may come days later is a step of an order whose own log was away meanwhile, or that a
 * crash had not noted. What was returned is remembered for 30 days: of all that could come late, only a second return of
 * forgotten pieces would make pieces of nothing. (A late reserve is a hold that runs out, a late commit or release finds
 * nothing.) Everything for 30 days was rejected: at one reservation a second that is 2.6 million of one product, 310 MB.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, stock } from '@caudal/contract/entities.ts';
import {
  bytesOf,
  deleteEntry,
  type ExpiringMap,
  emptyExpiringMap,
  getEntry,
  setEntry,
} from '@caudal/kernel/expiring-map.ts';
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
  open: ExpiringMap<OpenReservation>;
  /** Reservations that hold none any more, for a while. */
  ended: ExpiringMap<EndedReservation>;
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

const dayMs = 86_400_000;

/** Until when a reservation that ends now is remembered. */
export function rememberedUntil(now: Date, how: EndedReservation['how']): Date {
  return new Date(now.getTime() + (how === 'returned' ? 30 : 7) * dayMs);
}

/**
 * A state is kept after so many events. What is remembered makes it large (100,000 reservations: 6 MB, 40 ms to write),
 * so a large one is kept more rarely: reading a snapshot and the events after it then take about as long.
 */
function snapshotSpacing({ open, ended }: StockState): number {
  return Math.max(500, Math.ceil((open.size + ended.size) / 10));
}

export const stockDecider: Decider<StockState, StockEvent> = {
  entity: stock,
  initial: {
    productId: '',
    kind: '',
    policy: {},
    onHand: 0n,
    reserved: 0n,
    open: emptyExpiringMap(),
    ended: emptyExpiringMap(),
    updatedAt: undefined,
  },
  evolve: (state, event, at) => ({ ...state, ...count(state, event), ...note(state, event, at), updatedAt: at }),
  snapshot: { every: snapshotSpacing, schemaVersion: 3 },
  // An open reservation has a Date of its own.
  bytes: ({ open, ended }) => bytesOf(open, 150) + bytesOf(ended, 0),
};

/** The part of the state that says how many pieces are available. */
type Counts = Pick<StockState, 'productId' | 'kind' | 'policy' | 'onHand' | 'reserved'>;

/** What the event changes in the counts. */
function count({ onHand, reserved }: Counts, event: StockEvent): Partial<Counts> {
  switch (event.$case) {
    case 'created': {
      const { productId, kind, policy, quantity } = event.value;
      return { productId, kind, policy, onHand: quantity };
    }
    case 'restocked':
    case 'returned':
      return { onHand: onHand + event.value.quantity };
    case 'adjusted':
      return { onHand: onHand + event.value.delta };
    case 'reserved':
      return { reserved: reserved + event.value.quantity };
    case 'committed':
      return { onHand: onHand - event.value.quantity, reserved: reserved - event.value.quantity };
    case 'released':
    case 'expired':
      return { reserved: reserved - event.value.quantity };
    case 'barred':
      return {};
  }
}

/** What the event changes in the memory of reservations. */
function note({ open, ended }: StockState, event: StockEvent, at: Date): Partial<StockState> {
  switch (event.$case) {
    case 'created':
    case 'restocked':
    case 'adjusted':
      return {};
    case 'reserved': {
      const { reservationId, quantity, expireTime } = event.value;
      const reservation = { quantity, expireAt: expireTime! };
      return { open: setEntry(open, reservationId, reservation, Number.POSITIVE_INFINITY, at) };
    }
    case 'committed':
    case 'released':
    case 'expired':
    case 'returned': {
      const { $case: how, value } = event;
      const { reservationId, quantity } = value;
      return {
        open: deleteEntry(open, reservationId),
        ended: setEntry(ended, reservationId, ending(how, quantity), rememberedUntil(at, how), at),
      };
    }
    case 'barred': {
      const { reservationId, until } = event.value;
      return { ended: setEntry(ended, reservationId, ending('barred', 0n), until!, at) };
    }
  }
}

/** An ending; one of few pieces is always the same object, since these are most of what a product remembers. */
function ending(how: EndedReservation['how'], quantity: bigint): EndedReservation {
  return endings[how][Number(quantity)] ?? { how, quantity };
}

const endings: Record<EndedReservation['how'], EndedReservation[]> = {
  committed: endingsOf('committed'),
  released: endingsOf('released'),
  expired: endingsOf('expired'),
  returned: endingsOf('returned'),
  barred: endingsOf('barred'),
};

function endingsOf(how: EndedReservation['how']): EndedReservation[] {
  return Array.from({ length: 100 }, (_, quantity) => ({ how, quantity: BigInt(quantity) }));
}

/** The reservation that holds pieces under this id. */
export function openReservation(state: StockState, id: string): OpenReservation | undefined {
  return getEntry(state.open, id);
}

/** How the reservation of this id ended, if that is still remembered. */
export function endedReservation(state: StockState, id: string, now: Date): EndedReservation | undefined {
  return getEntry(state.ended, id, now);
}

/** Pieces that can be promised now. Whatever the kind says, never pieces that are not there or promised already. */
export function availableOf(counts: Counts): bigint {
  if (counts.productId === '') return 0n;
  const kind = kindNamed(counts.kind);
  if (!kind) throw new Error(`Stock of "${counts.productId}" is of the kind "${counts.kind}", which is not registered`);
  const free = counts.onHand - counts.reserved;
  const allowed = kind.available(counts);
  return allowed < free ? allowed : free;
}

/** An event that moves pieces, before it says what is available after it. */
type Unfinished = StockEvent extends infer E
  ? E extends { $case: infer C; value: { available: bigint } }
    ? { $case: C; value: Omit<E['value'], 'available'> }
    : never
  : never;

/** The event, saying what is available after it. */
export function moved(state: StockState, unfinished: Unfinished): StockEvent {
  const event = { ...unfinished, value: { ...unfinished.value, available: 0n } } as StockEvent;
  const available = availableOf({ ...state, ...count(state, event) });
  return { ...event, value: { ...event.value, available } } as StockEvent;
}
