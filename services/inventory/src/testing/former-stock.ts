/**
 * The stock as version 0.2 kept it: its state remembers ended reservations. Tests compare the decisions with those of
 * today, and make logs and snapshots as that version did.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { stock } from '@caudal/contract/entities.ts';
import {
  bytesOf,
  deleteEntry,
  type ExpiringMap,
  emptyExpiringMap,
  getEntry,
  setEntry,
} from '@caudal/kernel/expiring-map.ts';
import { availableOf, count, type StockEvent } from '../domain/stock.ts';

export interface FormerStock {
  /** Empty until the item is created. */
  productId: string;
  kind: string;
  policy: Readonly<Record<string, string>>;
  /** Pieces in the warehouse. */
  onHand: bigint;
  /** Pieces promised: the sum of the open reservations. */
  reserved: bigint;
  /** Reservations that hold pieces. At most as many as there are pieces. */
  open: ExpiringMap<OpenReservation>;
  /** Reservations that hold no pieces any more, as long as they are remembered. */
  ended: ExpiringMap<EndedReservation>;
  updatedAt: Date | undefined;
}

export interface OpenReservation {
  quantity: bigint;
  /** The earliest time at which it may be expired. */
  expireAt: Date;
}

export interface EndedReservation {
  /** 'barred': released before it was made. 'returned': committed, then put back. */
  how: 'committed' | 'released' | 'expired' | 'returned' | 'barred';
  quantity: bigint;
}

const dayMs = 86_400_000;

/** Until when a reservation that ends now is remembered. */
export function rememberedUntil(now: Date, how: EndedReservation['how']): Date {
  return new Date(now.getTime() + (how === 'returned' ? 30 : 7) * dayMs);
}

/**
 * Events between two snapshots. Remembered reservations make a state large (100,000 reservations: 6 MB, 40 ms to
 * write), so large states get fewer snapshots: reading a snapshot then takes about as long as reading the events after
 * it.
 */
function snapshotSpacing({ open, ended }: FormerStock): number {
  return Math.max(500, Math.ceil((open.size + ended.size) / 10));
}

export const formerStockDecider: Decider<FormerStock, StockEvent> = {
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

/** The reservations that the event changes. */
function note({ open, ended }: FormerStock, event: StockEvent, at: Date): Partial<FormerStock> {
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

/** How a reservation ended. Endings with few pieces share one object each, since they are most of a product's state. */
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
export function openReservation(state: FormerStock, id: string): OpenReservation | undefined {
  return getEntry(state.open, id);
}

/** How the reservation of this id ended, as long as that is remembered. */
export function endedReservation(state: FormerStock, id: string, now: Date): EndedReservation | undefined {
  return getEntry(state.ended, id, now);
}

/** An event that moves pieces, without the number that is available after it. */
type Unfinished = StockEvent extends infer E
  ? E extends { $case: infer C; value: { available: bigint } }
    ? { $case: C; value: Omit<E['value'], 'available'> }
    : never
  : never;

/** The event, with the number of pieces available after it. */
export function moved(state: FormerStock, unfinished: Unfinished): StockEvent {
  const event = { ...unfinished, value: { ...unfinished.value, available: 0n } } as StockEvent;
  const available = availableOf({ ...state, ...count(state, event) });
  return { ...event, value: { ...event.value, available } } as StockEvent;
}
