/**
 * The state of the order's saga, and its next step. Pure: `next` names the step, and sagas/fulfilment.ts runs it.
 *
 *      reserve ──> pay ──> (wait) ──> commit ──> confirm ──> create shipment ──> (wait) ──> shipped ──> delivered
 *         ▲                              │ reservation expired
 *         └──────────────────────────────┘
 *      after shipped: return ──> return ..., one for each that is requested
 *      any refusal, time-out or request to cancel: cancel shipment ──> undo payment ──> (wait) ──> undo stock ──> done
 *
 * Undoing covers everything that might have been done, whether the state shows it or not. Releasing an unknown
 * reservation or undoing an unknown payment bars it: if it arrives later, it is refused. So nothing stays reserved or
 * charged by mistake.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, fulfilment, type order, type payment, type shipment } from '@caudal/contract/entities.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { FulfilmentStarted } from '@caudal/contract/gen/caudal/orders/v1/events.ts';

export type FulfilmentEvent = EventOf<typeof fulfilment>;

/** Reservations per order, the first included: an expired one is followed by the next. */
const MAX_RESERVATIONS = 3;

export interface FulfilmentState {
  order: FulfilmentStarted | undefined;
  /** Number of the current reservation; the first is 1. */
  reservationNumber: number;
  /** The stock's own rules refused the first reservation: so no later step has run, not even before a crash. */
  nothingDone: boolean;
  stock: 'none' | 'reserved' | 'refused' | 'committed' | 'undone';
  payment: 'none' | 'requested' | 'paid' | 'failed' | 'undoing' | 'undone';
  giveUpTime: Date | undefined;
  /** Of all shipments of the order: dispatched once the first has left, delivered once the last has arrived. */
  shipment: 'none' | 'created' | 'dispatched' | 'delivered' | 'cancelled';
  /** Why the order is undone; undefined: it is not. */
  undo: { why: 'rejected' | 'cancelled'; reason: string } | undefined;
  confirmed: boolean;
  /** The returns that are not done, by their ids, the oldest first. */
  returns: string[];
  /** The last status that the saga has set on the order; after the last three only returns go on. */
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
    returns: [],
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
        // It is unknown what is held, so everything has to be undone.
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
        // The shipment has left, so all earlier steps were done, even if a crash kept them out of the state.
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
      case 'returnRequested':
        return { ...state, returns: [...state.returns, event.value.returnId] };
      case 'returnLed':
        return { ...state, returns: state.returns.filter((returnId) => returnId !== event.value.returnId) };
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
  | 'return'
  | 'cancel-shipment'
  | 'undo-payment'
  | 'undo-stock'
  | 'mark-rejected'
  | 'mark-cancelled';

/** The next step, from `dueAt` on if that is set. Undefined: the saga waits for an event, or has ended. */
export function next(state: FulfilmentState): { name: StepName; dueAt?: Date; afterAppend?: true } | undefined {
  if (!state.order) return undefined;
  if (state.marked === 'delivered') return nextReturn(state);
  if (state.marked === 'rejected' || state.marked === 'cancelled') {
    // The payment was requested before a crash and is missing in the state, or was made elsewhere: no money is kept.
    return state.payment === 'paid' ? { name: 'undo-payment' } : undefined;
  }
  return state.undo ? nextUndoing(state, state.undo.why) : nextForward(state);
}

function nextForward(state: FulfilmentState): ReturnType<typeof next> {
  // Undoing reaches only the reservations in the state: append the loss of the old one before making the next one.
  if (state.stock === 'none') return { name: 'reserve', afterAppend: state.reservationNumber > 1 || undefined };
  if (state.payment === 'none') return { name: 'request-payment' };
  if (state.payment === 'requested') return { name: 'give-up-payment', dueAt: state.giveUpTime! };
  if (state.stock === 'reserved') return { name: 'commit' };
  if (!state.confirmed) return { name: 'confirm' };
  if (state.shipment === 'none') return { name: 'create-shipment' };
  if (state.shipment === 'dispatched' && state.marked === '') return { name: 'mark-shipped' };
  if (state.shipment === 'delivered') return { name: state.marked === '' ? 'mark-shipped' : 'mark-delivered' };
  return state.marked === 'shipped' ? nextReturn(state) : undefined;
}

/**
 * Pieces come back after the commit is durable: before that a crash would repeat earlier steps, which a return in between would
 * refuse.
 */
function nextReturn({ returns }: FulfilmentState): ReturnType<typeof next> {
  return returns.length > 0 ? { name: 'return', afterAppend: true } : undefined;
}

function nextUndoing(state: FulfilmentState, why: 'rejected' | 'cancelled'): ReturnType<typeof next> {
  // A crash may have kept steps out of the state. But nothing ran after a first reservation that the stock's rules
  // refused, and without a payment there is no shipment.
  if (!state.nothingDone) {
    if (state.shipment !== 'cancelled' && state.payment !== 'failed') return { name: 'cancel-shipment' };
    if (state.payment === 'undoing') return undefined;
    if (state.payment !== 'failed' && state.payment !== 'undone') return { name: 'undo-payment' };
    // After a refusal nothing is held, but of reservations that were lost before some lines may be committed.
    const isHeld = state.stock !== 'refused' || state.reservationNumber > 1;
    if (isHeld && state.stock !== 'undone') return { name: 'undo-stock' };
  }
  return { name: why === 'rejected' ? 'mark-rejected' : 'mark-cancelled' };
}

/** By case of event: the saga events that follow from it. The saga ignores cases without an entry. */
type Reactions<E extends EventCase> = {
  [C in E['$case']]?: (state: FulfilmentState, event: Extract<E, { $case: C }>) => FulfilmentEvent[];
};

/** Reactions to events of the order. */
export const onOrder = {
  created: (state, { value }) => (state.order ? [] : [{ $case: 'started', value }]),
  cancelRequested: (state, { value }) =>
    state.undo || state.marked !== '' ? [] : [{ $case: 'cancelRequested', value }],
  // If it is done, the order says so: the step then does nothing.
  returnRequested: (state, { value: { returnId } }) =>
    state.returns.includes(returnId) ? [] : [{ $case: 'returnRequested', value: { returnId } }],
  // An operator has decided on one that needed attention.
  returnRetried: (state, { value: { returnId } }) =>
    state.returns.includes(returnId) ? [] : [{ $case: 'returnRequested', value: { returnId } }],
} satisfies Reactions<EventOf<typeof order>>;

/** Reactions to events of the payment. */
export const onPayment = {
  succeeded: (state) => (isPaymentOpen(state) ? [{ $case: 'paid', value: {} }] : []),
  failed: (state, { value }) => paymentEnded(state, value.reason),
  // The reason is set if payments voided it on their own, for example since the gateway was unreachable.
  voided: (state, { value }) => paymentEnded(state, value.reason || 'PAYMENT_VOIDED'),
  barred: (state) => paymentEnded(state, 'PAYMENT_VOIDED'),
  // Counts even if the state shows no undo: the answer to the undo may be lost, and this event arrives once. If the
  // saga has not requested it, the refund is a gift of the merchant's, and the order continues.
  refunded: ({ payment }) =>
    payment === 'failed' || payment === 'undone' ? [] : [{ $case: 'paymentUndone', value: {} }],
} satisfies Reactions<EventOf<typeof payment>>;

function isPaymentOpen({ payment }: FulfilmentState): boolean {
  return payment === 'none' || payment === 'requested';
}

/** No money was taken, or it was given back. */
function paymentEnded(state: FulfilmentState, reason: string): FulfilmentEvent[] {
  if (isPaymentOpen(state)) return [{ $case: 'paymentFailed', value: { reason } }];
  return state.payment === 'undoing' ? [{ $case: 'paymentUndone', value: {} }] : [];
}

/** Reactions to events of the order's shipments: the first that leaves, and the one with which all are delivered. */
export const onShipment = {
  dispatched: ({ shipment }) =>
    shipment === 'none' || shipment === 'created' ? [{ $case: 'dispatched', value: {} }] : [],
  delivered: ({ shipment }, { value }) =>
    value.partial || shipment === 'delivered' ? [] : [{ $case: 'delivered', value: {} }],
  // What was left in the warehouse will not come: the order is what has arrived.
  cancelled: ({ shipment }, { value }) =>
    value.completes && shipment !== 'delivered' ? [{ $case: 'delivered', value: {} }] : [],
} satisfies Reactions<EventOf<typeof shipment>>;
