/**
 * Calls of more lines than a unit has are several units. Those that may be refused look at all of their lines first: so that a line of
 * one unit is refused before the lines of another are done.
 */
import type { ExecutedUnit } from '@caudal/aggregates/types.ts';
import type { ReservationLine } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { CaudalError, isCode } from '@caudal/kernel/errors.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { isLost } from '../domain/reservations.ts';
import { openReservation, type StockEvent } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';
import { decideEach, executeGroup, type Group, type GroupAnswer, type LineRefusal, type StockPart } from './lines.ts';

/** What has been found of a group. */
export type CheckedGroup = { group: Group } & (
  | { kind: 'fits' | 'refused'; refusals: LineRefusal[]; found: FoundLine[] }
  /** An earlier sending of the call has done it. */
  | { kind: 'repeated'; executed: ExecutedUnit<GroupAnswer> }
);

interface FoundLine {
  /** It is reserved. */
  open: boolean;
  /** It can't be committed any more. */
  lost: boolean;
}

/** Leaves a decision, which so has no events. */
class Looked extends CaudalError {
  readonly refusals: LineRefusal[];
  readonly found: FoundLine[];
  constructor(refusals: LineRefusal[], found: FoundLine[]) {
    super('FAILED_PRECONDITION', 'RESERVATION_ENDED', 'Nothing was done: the lines were looked at.');
    this.refusals = refusals;
    this.found = found;
  }
}

/** The decision about one line. */
export type DecideLine = (part: StockPart, line: ReservationLine) => StockEvent[];

/**
 * Decides all groups, and does nothing. What it finds is confirmed by the log, under the group's command id: so a group that an
 * earlier sending of the call has done is known to be. Throws if the log can't be asked, or the request is invalid.
 */
export async function checkGroups(
  dependencies: Pick<InventoryDependencies, 'aggregates'>,
  groups: Group[],
  reservationId: string,
  call: Call,
  decide: DecideLine,
): Promise<CheckedGroup[]> {
  const settled = await Promise.allSettled(
    groups.map(async (group): Promise<CheckedGroup> => {
      const look = (parts: StockPart[]): never => {
        const { refusals } = decideEach(group, parts, decide);
        throw new Looked(
          refusals,
          parts.map((part) => ({
            open: openReservation(part.state, reservationId) !== undefined,
            lost: part.state.productId !== '' && isLost(part.state, part, reservationId),
          })),
        );
      };
      try {
        return { kind: 'repeated', group, executed: await executeGroup(dependencies, group, call, look) };
      } catch (error) {
        if (!(error instanceof Looked)) throw error;
        const { refusals, found } = error;
        return { kind: refusals.length > 0 ? 'refused' : 'fits', group, refusals, found };
      }
    }),
  );
  const errors = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  // An invalid request stays so, whatever became of its other groups.
  if (errors.length > 0) throw errors.find((error) => isCode(error, 'INVALID_ARGUMENT')) ?? errors[0];
  return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** The refusals of all lines: those that were found, and those of groups that an earlier sending has ended. */
export function refusalsIn(checked: CheckedGroup[]): LineRefusal[] {
  return checked.flatMap((one) => (one.kind === 'repeated' ? one.executed.reply.refusals : one.refusals));
}

/** Whether a line of the reservation is lost, so that the others have to end. */
export function isAnyLost(checked: CheckedGroup[]): boolean {
  return checked.some((one) =>
    one.kind === 'repeated' ? one.executed.reply.refusals.length > 0 : one.found.some(({ lost }) => lost),
  );
}
