/**
 * Reservations by hand are kept under names of their own where their names could be those of orders: `o1.1` is kept as `o1.1~`, which
 * no caller can write. So an order never takes over, commits or ends what a shop holds under such a name, nor the other way round. Only a
 * return by hand reaches an order's pieces. See docs/ids.md.
 */
import { assertDistinctProducts } from '@caudal/contract/distinct-products.ts';
import type { Reservation, ReservationLine } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { openReservation } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';
import { assertKnown, eachGroup, executeGroup, groupsOf, type StockPart } from './lines.ts';

/** A request about a reservation. */
interface About {
  reservationId: string;
  lines: ReservationLine[];
}

/** The order's saga names its reservations by the order's id and a number from 1 to 3; more digits are left for later. */
const likeAnOrders = /\.[1-9]$/;
/** Without authentication a saga in a process of its own can't be told from others: then all names are kept as they are given. */
const ofOrders = ({ subject, permissions }: Caller) => subject === 'service:orders' || permissions.has('*');

/** The name under which a reservation that is made by hand is kept. */
export function nameByHand(reservationId: string): string {
  return likeAnOrders.test(reservationId) ? `${reservationId}~` : reservationId;
}

/** Under which of the two names something is known. */
class Looked extends CaudalError {
  readonly known: { byHand: boolean; asGiven: boolean };
  constructor(known: { byHand: boolean; asGiven: boolean }) {
    super('FAILED_PRECONDITION', 'RESERVATION_ENDED', 'Nothing was done: the lines were looked at.');
    this.known = known;
  }
}

/**
 * The name of the reservation that a return by hand is about: the one made by hand, if the stock knows it; else the order's, whose pieces
 * the staff may return. Errors: those of the log; INVALID_ARGUMENT PRODUCT_TWICE.
 */
export function nameOfReturned(dependencies: InventoryDependencies) {
  return async ({ reservationId, lines }: About, { origin, signal }: Call): Promise<string> => {
    const byHand = nameByHand(reservationId);
    if (byHand === reservationId) return reservationId;
    assertDistinctProducts(lines);
    const known = { byHand: false, asGiven: false };
    const look = (parts: StockPart[]): never => {
      const isKnown = (name: string) =>
        parts.some(
          ({ state, lookUp }) =>
            state.productId !== '' && (openReservation(state, name) !== undefined || lookUp(name) !== undefined),
        );
      throw new Looked({ byHand: isKnown(byHand), asGiven: isKnown(reservationId) });
    };
    const looks = await eachGroup(groupsOf(dependencies, lines, {}), (group) =>
      executeGroup(dependencies, { lines: group.lines }, { origin, signal }, look),
    );
    for (const outcome of looks) {
      if (outcome.kind !== 'refused' || !(outcome.error instanceof Looked)) continue;
      known.byHand ||= outcome.error.known.byHand;
      known.asGiven ||= outcome.error.known.asGiven;
    }
    assertKnown(looks);
    return known.asGiven && !known.byHand ? reservationId : byHand;
  };
}

/**
 * The handler for all callers: those but the orders' own name reservations made by hand. `nameOf` gives the name under which the
 * request's is kept; answers and errors have the name as it was given.
 */
export function byHand<R extends About>(
  handler: (request: R, call: Call) => Promise<Reservation>,
  nameOf: (request: R, call: Call) => string | Promise<string> = (request) => nameByHand(request.reservationId),
): (request: R, call: Call) => Promise<Reservation> {
  return async (request, call) => {
    const { reservationId } = request;
    const name = ofOrders(call.caller) ? reservationId : await nameOf(request, call);
    if (name === reservationId) return handler(request, call);
    try {
      return { ...(await handler({ ...request, reservationId: name }, call)), reservationId };
    } catch (error) {
      throw error instanceof CaudalError ? asGiven(error, name, reservationId) : error;
    }
  };
}

function asGiven(error: CaudalError, name: string, reservationId: string): CaudalError {
  const given = (text: string) => text.replaceAll(`"${name}"`, `"${reservationId}"`);
  const { code, reason, message, violations, retryAfterMs, metadata } = error;
  return new CaudalError(code, reason, given(message), {
    violations: violations.map(({ field, description }) => ({ field, description: given(description) })),
    ...{ retryAfterMs, metadata, cause: error },
  });
}
