/**
 * The state of the order's saga, and what follows from it. Pure: `next` names the one thing to do, and sagas/fulfilment.ts
 * does it.
 *
 *      reserve ──> pay ──> (wait) ──> commit ──> confirm ──> create shipment ──> (wait) ──> shipped ──> delivered
 *         ▲                              │ reservation expired
 *         └──────────────────────────────┘
 *      any refusal, time-out or wish to cancel: cancel shipment ──> undo payment ──> (wait) ──> undo stock ──> done
 *
 * Undoing asks for everything that might have been done, known or not: releasing an unknown reservation and undoing an
 * unknown payment bar them, so that a late one is refused. Hence nothing stays reserved or charged that should not be.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, fulfilment, type order, type payment, type shipment } from '@caudal/contract/entities.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { FulfilmentStarted } from '@caudal/contract/gen/caudal/orders/v1/events.ts';

export type FulfilmentEvent = EventOf<typeof fulfilment>;

/** How often pieces are reserved anew after a reservation has run out. */
const MAX_RESERVATIONS = 3;

export interface FulfilmentState {
  order: FulfilmentStarted | undefined;
  /** The reservation that is current: the first is 1. */
  reservationNumber: number;
  /** The first reservation was refused by the stock's own rules: nothing has come after it, not even before a crash. */
  nothingDone: boolean;
  stock: 'none' | 'reserved' | 'refused' | 'committed' | 'undone';
  payment: 'none' | 'requested' | 'paid' | 'failed' | 'undoing' | 'undone';
  giveUpTime: Date | undefined;
  shipment: 'none' | 'created' | 'dispatched' | 'delivered' | 'cancelled';
  /** Why all is to be undone; undefined: it is not. */
  undo: { why: 'rejected' | 'cancelled'; reason: string } | undefined;
  confirmed: boolean;
  /** What the order itself was told last; the saga ends with the last three. */
  marked: '' | 'shipped' | 'delivered' | 'rejected' | 'cancelled';
}

export const fulfilmentDecider: Decider<FulfilmentState, FulfilmentEvent> = {
  entity: fulfilment,
  initial: {
    order: undefined,
    reservationNumber: 1,
    nothingDone: false,
    stock: 'none',
    payment: 'none',
    giveUpTime: undefined,
    shipment: 'none',
    undo: undefined,
    confirmed: false,
    marked: '',
  },
  evolve(state, event) {
    switch (event.$case) {
      case 'started':
        return { ...state, order: event.value };
      case 'reserved':
        return { ...state, stock: 'reserved' };
      case 'reservationFailed': {
        const { reason, nothingHeld } = event.value;
        const undo = state.undo ?? rejected(reason);
        // What is held is not known: all of it has to be undone.
        if (!nothingHeld) return { ...state, undo };
        return { ...state, stock: 'refused', nothingDone: state.reservationNumber === 1, undo };
      }
      case 'paymentRequested':
        return { ...state, payment: 'requested', giveUpTime: event.value.giveUpTime };
      case 'paid':
        return { ...state, payment: 'paid' };
      case 'paymentFailed':
        return { ...state, payment: 'failed', undo: state.undo ?? rejected(event.value.reason) };
      case 'paymentTimedOut':
        return { ...state, undo: state.undo ?? rejected('PAYMENT_TIMED_OUT') };
      case 'committed':
        return { ...state, stock: 'committed' };
      case 'reservationLost':
        return state.reservationNumber < MAX_RESERVATIONS
          ? { ...state, stock: 'none', reservationNumber: state.reservationNumber + 1 }
          : { ...state, stock: 'refused', undo: state.undo ?? rejected('RESERVATION_EXPIRED') };
      case 'confirmed':
        return { ...state, confirmed: true };
      case 'shipmentCreated':
        return { ...state, shipment: 'created' };
      case 'dispatched':
        return { ...state, shipment: 'dispatched' };
      case 'delivered':
        return { ...state, shipment: 'delivered' };
      case 'cancelRequested':
        return { ...state, undo: state.undo ?? { why: 'cancelled', reason: event.value.reason } };
      case 'cancelRefused': {
        // The shipment has left, so all before it was done, even if a crash kept that out of the state.
        const shipment = state.shipment === 'none' ? 'created' : state.shipment;
        const payment = state.payment === 'none' || state.payment === 'requested' ? 'paid' : state.payment;
        return { ...state, undo: undefined, stock: 'committed', payment, confirmed: true, shipment };
      }
      case 'shipmentCancelled':
        return { ...state, shipment: 'cancelled' };
      case 'paymentUndoRequested':
        return { ...state, payment: 'undoing' };
      case 'paymentUndone':
        return { ...state, payment: 'undone' };
      case 'stockUndone':
        return { ...state, stock: 'undone' };
      case 'orderMarked':
        return { ...state, marked: event.value.status as FulfilmentState['marked'] };
    }
  },
};

function rejected(reason: string): FulfilmentState['undo'] {
  return { why: 'rejected', reason };
}

export type StepName =
  | 'reserve'
  | 'request-payment'
  | 'give-up-payment'
  | 'commit'
  | 'confirm'
  | 'create-shipment'
  | 'mark-shipped'
  | 'mark-delivered'
  | 'cancel-shipment'
  | 'undo-payment'
  | 'undo-stock'
  | 'mark-rejected'
  | 'mark-cancelled';

/** The one thing to do in this state, maybe only later; undefined: wait for an event, or nothing is left to do. */
export function next(state: FulfilmentState): { name: StepName; dueAt?: Date; afterAppend?: true } | undefined {
  if (!state.order || state.marked === 'delivered') return undefined;
  if (state.marked === 'rejected' || state.marked === 'cancelled') {
    // It was asked for before a crash that the state shows nothing of, or elsewhere: no money is kept.
    return state.payment === 'paid' ? { name: 'undo-payment' } : undefined;
  }
  return state.undo ? nextUndoing(state, state.undo.why) : nextForward(state);
}

function nextForward(state: FulfilmentState): ReturnType<typeof next> {
  // Undoing reaches the reservation that the state shows: a new one must not begin before the old one is known as lost.
  if (state.stock === 'none') return { name: 'reserve', afterAppend: state.reservationNumber > 1 || undefined };
  if (state.payment === 'none') return { name: 'request-payment' };
  if (state.payment === 'requested') return { name: 'give-up-payment', dueAt: state.giveUpTime! };
  if (state.stock === 'reserved') return { name: 'commit' };
  if (!state.confirmed) return { name: 'confirm' };
  if (state.shipment === 'none') return { name: 'create-shipment' };
  if (state.shipment === 'dispatched' && state.marked === '') return { name: 'mark-shipped' };
  if (state.shipment === 'delivered') return { name: state.marked === '' ? 'mark-shipped' : 'mark-delivered' };
  return undefined;
}

function nextUndoing(state: FulfilmentState, why: 'rejected' | 'cancelled'): ReturnType<typeof next> {
  // Steps may have been done that a crash kept out of the state. But a saga whose first reservation was refused never got
  // past it, and without a payment there is no shipment.
  if (!state.nothingDone) {
    if (state.shipment !== 'cancelled' && state.payment !== 'failed') return { name: 'cancel-shipment' };
    if (state.payment === 'undoing') return undefined;
    if (state.payment !== 'failed' && state.payment !== 'undone') return { name: 'undo-payment' };
    if (state.stock !== 'refused' && state.stock !== 'undone') return { name: 'undo-stock' };
  }
  return { name: why === 'rejected' ? 'mark-rejected' : 'mark-cancelled' };
}

/** By case of event: the facts that it brings. A case without an entry is no concern of the saga. */
type Reactions<E extends EventCase> = {
  [C in E['$case']]?: (state: FulfilmentState, event: Extract<E, { $case: C }>) => FulfilmentEvent[];
};

/** What the saga learns from its order. */
export const onOrder = {
  created: (state, { value }) => (state.order ? [] : [{ $case: 'started', value }]),
  cancelRequested: (state, { value }) =>
    state.undo || state.marked !== '' ? [] : [{ $case: 'cancelRequested', value }],
} satisfies Reactions<EventOf<typeof order>>;

/** What the saga learns from its payment. */
export const onPayment = {
  succeeded: (state) => (isPaymentOpen(state) ? [{ $case: 'paid', value: {} }] : []),
  failed: (state, { value }) => paymentEnded(state, value.reason),
  // It says why payments have undone it by themselves: the gateway that could not be reached, say.
  voided: (state, { value }) => paymentEnded(state, value.reason || 'PAYMENT_VOIDED'),
  barred: (state) => paymentEnded(state, 'PAYMENT_VOIDED'),
  // Also if the state does not show that it was asked for: that answer may be lost, and this event comes once. If it was
  // really not asked for here, it is a gift of the merchant's, and the order goes on.
  refunded: ({ payment }) =>
    payment === 'failed' || payment === 'undone' ? [] : [{ $case: 'paymentUndone', value: {} }],
} satisfies Reactions<EventOf<typeof payment>>;

function isPaymentOpen({ payment }: FulfilmentState): boolean {
  return payment === 'none' || payment === 'requested';
}

/** No money was taken, or none is held any more. */
function paymentEnded(state: FulfilmentState, reason: string): FulfilmentEvent[] {
  if (isPaymentOpen(state)) return [{ $case: 'paymentFailed', value: { reason } }];
  return state.payment === 'undoing' ? [{ $case: 'paymentUndone', value: {} }] : [];
}

/** What the saga learns from its shipment. */
export const onShipment = {
  dispatched: ({ shipment }) =>
    shipment === 'none' || shipment === 'created' ? [{ $case: 'dispatched', value: {} }] : [],
  delivered: ({ shipment }) => (shipment === 'delivered' ? [] : [{ $case: 'delivered', value: {} }]),
} satisfies Reactions<EventOf<typeof shipment>>;
