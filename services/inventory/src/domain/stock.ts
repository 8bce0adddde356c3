/**
 * The stock of a product: pieces on hand, and reservations, which promise some of them until they are committed (the
 * pieces leave), released, or expired. A reservation ends only by an event: the first one in the log wins. Those that have
 * ended leave the state; their claims (claims.ts) remember them.
 */
import type { Decider, FormerSnapshots } from '@caudal/aggregates/types.ts';
import { type EventOf, stock } from '@caudal/contract/entities.ts';
import {
  bytesOf,
  deleteEntry,
  type ExpiringMap,
  emptyExpiringMap,
  getEntry,
  setEntry,
} from '@caudal/kernel/expiring-map.ts';
import { type EndedReservation, reservationClaims } from './claims.ts';
import { kindNamed } from './kinds.ts';

export type StockEvent = EventOf<typeof stock>;

export interface StockState {
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
  updatedAt: Date | undefined;
}

export interface OpenReservation {
  quantity: bigint;
  /** The earliest time at which it may be expired. */
  expireAt: Date;
}

/**
 * Snapshots of version 0.2, whose state remembers ended reservations, for 30 days at most. Without them a product's first use
 * after the upgrade would read its stream from the start.
 */
const formerSnapshots: FormerSnapshots<StockState, EndedReservation> = {
  schemaVersion: 3,
  read(former) {
    const { ended, ...state } = former as StockState & { ended: ExpiringMap<EndedReservation> };
    return { state, claims: ended, until: new Date((state.updatedAt?.getTime() ?? 0) + 30 * 86_400_000) };
  },
};

export const stockDecider: Decider<StockState, StockEvent, EndedReservation> = {
  entity: stock,
  initial: {
    productId: '',
    kind: '',
    policy: {},
    onHand: 0n,
    reserved: 0n,
    open: emptyExpiringMap(),
    updatedAt: undefined,
  },
  evolve: (state, event, at) => ({ ...state, ...count(state, event), ...note(state, event, at), updatedAt: at }),
  claims: reservationClaims,
  snapshot: { every: 500, schemaVersion: 4, former: formerSnapshots },
  // An open reservation has a Date of its own.
  bytes: ({ open }) => bytesOf(open, 150),
};

/** The part of the state that determines how many pieces are available. */
export type Counts = Pick<StockState, 'productId' | 'kind' | 'policy' | 'onHand' | 'reserved'>;

/** The counts that the event changes. */
export function count({ onHand, reserved }: Counts, event: StockEvent): Partial<Counts> {
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

/** The reservations that the event changes. */
function note({ open }: StockState, event: StockEvent, at: Date): Partial<StockState> {
  switch (event.$case) {
    case 'reserved': {
      const { reservationId, quantity, expireTime } = event.value;
      const reservation = { quantity, expireAt: expireTime! };
      return { open: setEntry(open, reservationId, reservation, Number.POSITIVE_INFINITY, at) };
    }
    case 'committed':
    case 'released':
    case 'expired':
      return { open: deleteEntry(open, event.value.reservationId) };
    case 'created':
    case 'restocked':
    case 'adjusted':
    case 'returned':
    case 'barred':
      return {};
  }
}

/** The reservation that holds pieces under this id. */
export function openReservation(state: StockState, id: string): OpenReservation | undefined {
  return getEntry(state.open, id);
}

/** Pieces that can be promised now. Never more than are on hand and not promised yet, whatever the kind computes. */
export function availableOf(counts: Counts): bigint {
  if (counts.productId === '') return 0n;
  const kind = kindNamed(counts.kind);
  if (!kind) throw new Error(`Stock of "${counts.productId}" is of the kind "${counts.kind}", which is not registered`);
  const free = counts.onHand - counts.reserved;
  const allowed = kind.available(counts);
  return allowed < free ? allowed : free;
}

/** An event that moves pieces, without the number that is available after it. */
type Unfinished = StockEvent extends infer E
  ? E extends { $case: infer C; value: { available: bigint } }
    ? { $case: C; value: Omit<E['value'], 'available'> }
    : never
  : never;

/** The event, with the number of pieces available after it. */
export function moved(state: StockState, unfinished: Unfinished): StockEvent {
  const event = { ...unfinished, value: { ...unfinished.value, available: 0n } } as StockEvent;
  const available = availableOf({ ...state, ...count(state, event) });
  return { ...event, value: { ...event.value, available } } as StockEvent;
}
