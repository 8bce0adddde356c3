/**
 * Reserves all lines of an order, or none: one unit of its products' streams. A refusal is no event; but lines that an earlier
 * call of the reservation holds are released with it. See README, "All lines or none" and "A refused line gets no event".
 */
import type { ExecutedUnit } from '@caudal/aggregates/types.ts';
import { checkTexts } from '@caudal/context/texts.ts';
import { assertDistinctProducts } from '@caudal/contract/distinct-products.ts';
import type {
  Reservation,
  ReservationLine,
  ReserveStockRequest,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { assertHeld, reserve, withdraw } from '../domain/reservations.ts';
import { openReservation } from '../domain/stock.ts';
import { type CheckedGroup, checkGroups, type DecideLine, refusalsIn } from './check-lines.ts';
import type { InventoryDependencies } from './dependencies.ts';
import {
  answersOf,
  assertKnown,
  decideEach,
  eachGroup,
  executeGroup,
  type Group,
  type GroupAnswer,
  groupsOf,
  type LineRefusal,
  noteWrites,
  refusedOf,
  type StockPart,
  violationsOf,
} from './lines.ts';

const defaultTtlSeconds = 15n * 60n;

export function reserveStock(dependencies: InventoryDependencies) {
  return async (request: ReserveStockRequest, call: Call): Promise<Reservation> => {
    const { reservationId, lines, attributes } = request;
    assertDistinctProducts(lines);
    checkTexts('attributes', attributes);
    const expireAt = new Date(dependencies.clock().getTime() + ttlMs(request));
    const input = (line: ReservationLine) => ({ ...line, reservationId, expireAt, attributes });
    const reserveLine: DecideLine = (part, line) => reserve(part.state, part, input(line));
    const groups = groupsOf(dependencies, lines, call);
    if (groups.length > 1) await assertReservable(groups);
    const outcomes = await eachGroup(groups, async (group) => {
      const executed = await reserveGroup(group, reserveLine, request, call);
      const { refusals } = executed.reply;
      if (refusals.length > 0) throw refusal(refusals);
      if (executed.repeated) await assertStillHeld(group, reservationId, call);
      return executed;
    });
    if (outcomes.some(({ kind }) => kind === 'refused')) {
      const errors = refusedOf(outcomes);
      // Groups that are done, or may be, are undone. Not if another call with this id and other quantities is under way: what is held
      // may be its reservation.
      if (!errors.some(({ reason }) => reason === 'RESERVATION_MISMATCH'))
        await withdrawGroups(outcomes.flatMap(({ kind, group }) => (kind === 'refused' ? [] : [group])));
      throw errors.length > 1 ? joined(errors) : errors[0]!;
    }
    assertKnown(outcomes);
    noteWrites(call, outcomes);
    return { reservationId, lines, expireTime: firstExpiry(answersOf(outcomes)) };

    /** Refuses what one unit of all lines would refuse. After that a group is refused only if pieces have just gone. */
    async function assertReservable(groups: Group[]): Promise<void> {
      const checked = await checkGroups(dependencies, groups, reservationId, call, reserveLine);
      const refusals = refusalsIn(checked);
      if (refusals.length === 0) return;
      // With another quantity the request is not about the reservation that holds them.
      if (!refusals.some(({ reason }) => reason === 'RESERVATION_MISMATCH')) await withdrawGroups(heldIn(checked));
      throw refusal(refusals);
    }

    /** Takes back the lines of the groups that are not committed. */
    async function withdrawGroups(groups: Group[]): Promise<void> {
      assertKnown(await eachGroup(groups, (group) => withdrawGroup(group, reservationId, call)));
    }
  };

  function reserveGroup(
    group: Group,
    reserveLine: DecideLine,
    { reservationId }: ReserveStockRequest,
    call: Call,
  ): Promise<ExecutedUnit<GroupAnswer>> {
    let refusals: LineRefusal[];
    const decideGroup = (parts: StockPart[]) => {
      const reserved = decideEach(group, parts, reserveLine);
      refusals = reserved.refusals;
      if (refusals.length === 0) return reserved.events;
      const refusedLines = new Set(refusals.map(({ index }) => index - group.first));
      const isHeld = ({ state }: StockPart, n: number) =>
        openReservation(state, reservationId) !== undefined && !refusedLines.has(n);
      // With another quantity the request is not about the reservation that holds them.
      const isOther = refusals.some(({ reason }) => reason === 'RESERVATION_MISMATCH');
      if (isOther || !parts.some(isHeld)) throw refusal(refusals);
      return parts.map((part, n) =>
        isHeld(part, n) ? withdraw(part.state, part, { reservationId, reason: 'REFUSED' }) : [],
      );
    };
    return executeGroup(dependencies, group, call, decideGroup, (after) => {
      const times = after.flatMap((state) => openReservation(state, reservationId)?.expireAt.getTime() ?? []);
      return { refusals, ...(times.length > 0 && { expireTime: Math.min(...times) }) };
    });
  }

  function withdrawGroup({ lines }: Group, reservationId: string, { origin }: Call) {
    // It continues even if the caller has disconnected.
    return executeGroup(dependencies, { lines }, { origin }, (parts) =>
      parts.map((part) => withdraw(part.state, part, { reservationId, reason: 'REFUSED' })),
    );
  }

  /** Throws RESERVATION_ENDED if lines of an earlier call are no longer reserved or committed. */
  async function assertStillHeld({ lines }: Group, reservationId: string, { origin, signal }: Call): Promise<void> {
    await executeGroup(dependencies, { lines }, { origin, signal }, (parts) =>
      parts.map((part) => assertHeld(part.state, part, reservationId)),
    );
  }
}

/** The lines that an earlier call holds, and all of the groups that an earlier sending of this one has done. */
function heldIn(checked: CheckedGroup[]): Group[] {
  return checked.flatMap((one) => {
    const { group } = one;
    if (one.kind === 'repeated') return [group];
    const lines = group.lines.filter((_, n) => one.found[n]!.open);
    return lines.length > 0 ? [{ ...group, lines }] : [];
  });
}

function ttlMs({ ttl }: ReserveStockRequest): number {
  const { seconds, nanos } = ttl ?? { seconds: defaultTtlSeconds, nanos: 0 };
  return Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
}

const message = 'Not all lines can be reserved, so none is.';

/** One refusal for all lines. */
function refusal(refusals: LineRefusal[]): CaudalError {
  const reason = mainReason(refusals.map((one) => one.reason));
  return refused(reason, message, { violations: violationsOf(refusals, 'quantity') });
}

/** One refusal for all groups. */
function joined(errors: CaudalError[]): CaudalError {
  const reason = mainReason(errors.map((error) => error.reason));
  return refused(reason, message, { violations: errors.flatMap(({ violations }) => violations) });
}

/** A product without stock counts as INSUFFICIENT_STOCK. */
function mainReason(reasons: string[]): string {
  const all = new Set(reasons.map((reason) => (reason === 'STOCK_NOT_FOUND' ? 'INSUFFICIENT_STOCK' : reason)));
  return all.has('INSUFFICIENT_STOCK') ? 'INSUFFICIENT_STOCK' : [...all][0]!;
}

/** The earliest expiry of the lines: the reservation is complete only until then. */
function firstExpiry(answers: GroupAnswer[]): Date | undefined {
  const times = answers.flatMap(({ expireTime }) => expireTime ?? []);
  return times.length > 0 ? new Date(Math.min(...times)) : undefined;
}
