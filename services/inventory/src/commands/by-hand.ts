/**
 * Reservations by hand live in a space of their own where their names could be those of orders: `o1.1` is kept as `o1.1~`, which no
 * caller can write. So no order takes over what a shop holds under such a name, nor the other way round. See docs/ids.md.
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

/** The order's saga names its reservations by the order's id and a number of one digit. */
const likeAnOrders = /\.\d$/;
const ofOrders = ({ subject }: Caller) => subject === 'service:orders';

/** The name under which a reservation that is made by hand is kept. */
export function nameByHand(reservationId: string): string {
  return likeAnOrders.test(reservationId) ? `${reservationId}~` : reservationId;
}

/** Which of the two spaces a name is known in. */
class Looked extends CaudalError {
  readonly known: { byHand: boolean; asGiven: boolean };
  constructor(known: { byHand: boolean; asGiven: boolean }) {
    super('FAILED_PRECONDITION', 'RESERVATION_ENDED', 'Nothing was done: the lines were looked at.');
    this.known = known;
  }
}

/**
 * The name under which a reservation is kept that a caller names: the one made by hand; else, if the stock knows it, the order's, which the
 * staff may end or return; else the one that would be made by hand. Errors: those of the log; INVALID_ARGUMENT PRODUCT_TWICE.
 */
export function nameOfKnown(dependencies: InventoryDependencies) {
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
  nameOf: (request: R, call: Call) => Promise<string>,
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
