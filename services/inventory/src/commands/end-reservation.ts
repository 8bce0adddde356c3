/**
 * Commits, releases and returns the lines of a reservation. The stock of each product remembers the reservation's
 * outcome, so each call may be repeated, with the same request id or another.
 */
import {
  type CommitReservationRequest,
  type ReleaseReservationRequest,
  Reservation,
  type ReservationLine,
  type ReturnStockRequest,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { CaudalError, refused } from '@caudal/kernel/errors.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { commit, type Line, release, returnPieces } from '../domain/reservations.ts';
import { stockDecider } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';
import {
  assertDistinct,
  assertKnown,
  assertValid,
  eachLine,
  isForwardable,
  lineCommandId,
  noteWrites,
  violationsOf,
} from './lines.ts';
import { releaseLine } from './release-line.ts';

/**
 * All lines leave the stock, or the reservation ends. A line that has expired or was released stays lost, so a repeat
 * after a crash has the same result: committed lines are put back, open lines are released.
 */
export function commitReservation(dependencies: InventoryDependencies) {
  return async ({ reservationId, lines }: CommitReservationRequest, call: Call): Promise<Reservation> => {
    assertDistinct(lines);
    const outcomes = await eachLine(lines, (line) =>
      lineCommand(dependencies, commit, { ...line, reservationId }, call, lines),
    );
    assertValid(outcomes);
    if (outcomes.some(({ kind }) => kind === 'refused')) {
      const undone = await eachLine(lines, ({ productId }) =>
        releaseLine(dependencies, { decide: release, productId, reservationId, reason: 'LOST', origin: call.origin }),
      );
      assertKnown(undone);
      throw refused('RESERVATION_LOST', `The reservation "${reservationId}" ended before it was committed.`, {
        violations: violationsOf(outcomes, 'product_id'),
      });
    }
    assertKnown(outcomes);
    noteWrites(call, outcomes);
    return { reservationId, lines, expireTime: undefined };
  };
}

/** Ends every line, whatever its state. Nothing is refused. */
export function releaseReservation(dependencies: InventoryDependencies) {
  return async (request: ReleaseReservationRequest, call: Call): Promise<Reservation> => {
    const { reservationId, lines, reason } = request;
    assertDistinct(lines);
    const outcomes = await eachLine(lines, ({ productId, quantity }) =>
      releaseLine(dependencies, {
        decide: release,
        productId,
        reservationId,
        reason,
        committed: request.committed ? quantity : undefined,
        origin: call.origin,
        signal: call.signal,
        forwardable: isForwardable(call, lines),
      }),
    );
    return answered(reservationId, lines, outcomes, call);
  };
}

/**
 * Puts committed pieces back, line by line. Lines that can't be returned are refused after the others are back, since
 * those pieces are in the warehouse.
 */
export function returnStock(dependencies: InventoryDependencies) {
  return async ({ reservationId, lines }: ReturnStockRequest, call: Call): Promise<Reservation> => {
    assertDistinct(lines);
    const outcomes = await eachLine(lines, (line) =>
      lineCommand(dependencies, returnPieces, { ...line, reservationId }, call, lines),
    );
    return answered(reservationId, lines, outcomes, call);
  };
}

/** The answer if all lines are done; else throws the first unknown outcome, or the refusals. */
function answered(
  reservationId: string,
  lines: ReservationLine[],
  outcomes: Awaited<ReturnType<typeof eachLine<Reservation>>>,
  call: Call,
): Reservation {
  assertValid(outcomes);
  assertKnown(outcomes);
  const first: CaudalError | undefined = outcomes.find((outcome) => outcome.kind === 'refused')?.error;
  if (first) {
    throw new CaudalError(first.code, first.reason, 'Some of the lines are refused; the others are done.', {
      violations: violationsOf(outcomes, 'quantity'),
    });
  }
  noteWrites(call, outcomes);
  return { reservationId, lines, expireTime: undefined };
}

function lineCommand(
  { aggregates }: InventoryDependencies,
  decide: typeof commit,
  line: Line,
  call: Call,
  lines: ReservationLine[],
) {
  const { reservationId, productId, quantity } = line;
  return aggregates.execute({
    decider: stockDecider,
    id: productId,
    decide: (state, context) => decide(state, context, line),
    reply: (): Reservation => ({ reservationId, lines: [{ productId, quantity }], expireTime: undefined }),
    replyCodec: Reservation,
    commandId: lineCommandId(call, productId),
    origin: call.origin,
    signal: call.signal,
    forwardable: isForwardable(call, lines),
  });
}
