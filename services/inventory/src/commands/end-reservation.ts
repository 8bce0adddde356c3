/**
 * Commits, releases and returns the lines of a reservation. The stock of each product remembers the reservation's
 * outcome, so each call may be repeated, with the same request id or another.
 */
import type { ExecutedUnit } from '@caudal/aggregates/types.ts';
import { assertDistinctProducts } from '@caudal/contract/distinct-products.ts';
import type {
  CommitReservationRequest,
  PutBackRequest,
  ReleaseReservationRequest,
  Reservation,
  ReservationLine,
  ReturnStockRequest,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { isService } from '@caudal/kernel/context.ts';
import { CaudalError, type FieldViolation, invalidField, refused } from '@caudal/kernel/errors.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { commit, isLost, release, returnPieces } from '../domain/reservations.ts';
import { checkGroups, isAnyLost, refusalsIn } from './check-lines.ts';
import type { InventoryDependencies } from './dependencies.ts';
import {
  answersOf,
  assertKnown,
  decideEach,
  eachGroup,
  executeGroup,
  type Group,
  type GroupAnswer,
  type GroupOutcome,
  groupsOf,
  type LineRefusal,
  noteWrites,
  refusedOf,
  type StockPart,
  violationsOf,
} from './lines.ts';

/**
 * All lines leave the stock, or the reservation ends: if one has expired or was released, the same unit puts back those that are
 * committed already and releases those that are open. A request that is about something else, or about a commit whose pieces
 * were returned, moves nothing. Several groups are looked at before the first is committed.
 */
export function commitReservation(dependencies: InventoryDependencies) {
  return async ({ reservationId, lines }: CommitReservationRequest, call: Call): Promise<Reservation> => {
    assertDistinctProducts(lines);
    const groups = groupsOf(dependencies, lines, call);
    if (groups.length > 1) await assertCommittable(groups);
    const outcomes = await eachGroup(groups, async (group) => {
      const executed = await commitGroup(dependencies, group, reservationId, call);
      const { refusals } = executed.reply;
      if (refusals.length > 0) throw lost(reservationId, violationsOf(refusals, 'product_id'));
      return executed;
    });
    const errors = refusedOf(outcomes);
    if (errors.length > 0) {
      const other = errors.find(({ reason }) => reason !== 'RESERVATION_LOST' && reason !== 'RESERVATION_ENDED');
      if (other) throw other;
      if (errors.some(({ reason }) => reason === 'RESERVATION_LOST'))
        await end(outcomes.flatMap(({ kind, group }) => (kind === 'refused' ? [] : [group])));
      throw lost(
        reservationId,
        errors.flatMap(({ violations }) => violations),
      );
    }
    assertKnown(outcomes);
    noteWrites(call, outcomes);
    return { reservationId, lines, expireTime: undefined };

    /** Refuses what one unit of all lines would refuse. After that a group is refused only if a line has just ended. */
    async function assertCommittable(groups: Group[]): Promise<void> {
      const checked = await checkGroups(dependencies, groups, reservationId, call, (part, line) =>
        commit(part.state, part, { ...line, reservationId }),
      );
      const refusals = refusalsIn(checked);
      if (refusals.length === 0) return;
      const other = refusals.find(({ reason }) => reason !== 'RESERVATION_ENDED');
      if (other) throw differs(other, refusals);
      // Else pieces were returned: the others are with the customer.
      if (isAnyLost(checked)) await end(groups);
      throw lost(reservationId, violationsOf(refusals, 'product_id'));
    }

    /** Ends what the groups hold. */
    async function end(groups: Group[]): Promise<void> {
      const ended = await eachGroup(groups, (group) =>
        // It continues even if the caller has disconnected.
        executeGroup(dependencies, { lines: group.lines }, { origin: call.origin }, (parts) =>
          parts.map((part) => release(part.state, part, { reservationId, reason: 'LOST' })),
        ),
      );
      assertKnown(ended);
    }
  };
}

function commitGroup(
  dependencies: InventoryDependencies,
  group: Group,
  reservationId: string,
  call: Call,
): Promise<ExecutedUnit<GroupAnswer>> {
  let refusals: LineRefusal[];
  const decideGroup = (parts: StockPart[]) => {
    const committed = decideEach(group, parts, (part, line) => commit(part.state, part, { ...line, reservationId }));
    refusals = committed.refusals;
    if (refusals.length === 0) return committed.events;
    const other = refusals.find(({ reason }) => reason !== 'RESERVATION_ENDED');
    if (other) throw differs(other, refusals);
    const violations = violationsOf(refusals, 'product_id');
    // Pieces were returned: the others are with the customer.
    if (!parts.some((part) => isLost(part.state, part, reservationId)))
      throw refused('RESERVATION_ENDED', 'Its pieces were returned.', { violations });
    const events = parts.map((part) => release(part.state, part, { reservationId, reason: 'LOST' }));
    if (!events.some(({ length }) => length > 0)) throw lost(reservationId, violations);
    return events;
  };
  return executeGroup(dependencies, group, call, decideGroup, () => ({ refusals }));
}

function lost(reservationId: string, violations: FieldViolation[]): CaudalError {
  return refused('RESERVATION_LOST', `The reservation "${reservationId}" ended before it was committed.`, {
    violations,
  });
}

/** The request is not about the reservation that there is. */
function differs({ code, reason }: LineRefusal, refusals: LineRefusal[]): CaudalError {
  return new CaudalError(code, reason, 'The lines are not those of the reservation, so none is committed.', {
    violations: violationsOf(refusals, 'quantity'),
  });
}

/**
 * Ends every line, whatever its state. `committed` puts back pieces that the stock knows nothing of, so that only Caudal's own
 * services may set it, as for an internal method.
 */
export function releaseReservation(dependencies: InventoryDependencies) {
  return async (request: ReleaseReservationRequest, call: Call): Promise<Reservation> => {
    const { reservationId, lines, reason } = request;
    if (request.committed && !isService(call.caller))
      throw invalidField('committed', "is for Caudal's own services: leave it out, and return pieces with ReturnStock");
    assertDistinctProducts(lines);
    const outcomes = await eachGroup(groupsOf(dependencies, lines, call), (group) =>
      executeGroup(dependencies, group, call, (parts) =>
        parts.map((part, n) => {
          const committed = request.committed ? group.lines[n]!.quantity : undefined;
          return release(part.state, part, { reservationId, reason, committed });
        }),
      ),
    );
    return answered(reservationId, lines, outcomes, call);
  };
}

/**
 * Puts committed pieces back: all lines of a group, or none. Each call is another return, so that the stock can't know a repeat
 * but by its request id; a caller that corrects a refused call must not return its other lines twice.
 */
export function returnStock(dependencies: InventoryDependencies) {
  return async (request: ReturnStockRequest | PutBackRequest, call: Call): Promise<Reservation> => {
    const { reservationId, lines } = request;
    const out = 'out' in request ? request.out : [];
    assertDistinctProducts(lines);
    assertDistinctProducts(out, 'out');
    const known = new Map(out.map(({ productId, quantity }) => [productId, quantity]));
    const outcomes = await eachGroup(groupsOf(dependencies, lines, call), (group) =>
      executeGroup(dependencies, group, call, (parts) => {
        const { events, refusals } = decideEach(group, parts, (part, line) =>
          returnPieces(part.state, part, { ...line, reservationId, out: known.get(line.productId) }),
        );
        if (refusals.length > 0) throw notReturned(refusals);
        return events;
      }),
    );
    const errors = refusedOf(outcomes);
    assertKnown(outcomes);
    if (outcomes.length === 1 && errors.length === 1) throw errors[0]!;
    if (errors.length > 0) throw partlyReturned(errors, outcomes.length);
    return answered(reservationId, lines, outcomes, call);
  };
}

function notReturned(refusals: LineRefusal[]): CaudalError {
  const { code, reason } = refusals[0]!;
  return new CaudalError(code, reason, "Some of the lines can't be returned, so none is.", {
    violations: violationsOf(refusals, 'quantity'),
  });
}

/** The refusal of a call of several groups. */
function partlyReturned(errors: CaudalError[], groups: number): CaudalError {
  const { code, reason } = errors[0]!;
  const message =
    errors.length === groups
      ? "Some of the lines can't be returned, so none is."
      : "Some of the lines can't be returned. Of the others those are back that are not among the same hundred lines.";
  return new CaudalError(code, reason, message, { violations: errors.flatMap(({ violations }) => violations) });
}

/** The answer if all lines are done; else throws the first unknown outcome, or the refusals. */
function answered(
  reservationId: string,
  lines: ReservationLine[],
  outcomes: GroupOutcome<GroupAnswer>[],
  call: Call,
): Reservation {
  const errors = refusedOf(outcomes);
  assertKnown(outcomes);
  const refusals = answersOf(outcomes).flatMap((answer) => answer.refusals);
  if (refusals.length > 0) throw notAll(refusals);
  if (errors.length > 0) throw errors[0]!;
  noteWrites(call, outcomes);
  return { reservationId, lines, expireTime: undefined };
}

function notAll(refusals: LineRefusal[]): CaudalError {
  const { code, reason } = refusals[0]!;
  return new CaudalError(code, reason, 'Some of the lines are refused; the others are done.', {
    violations: violationsOf(refusals, 'quantity'),
  });
}
