/**
 * Commands about the lines of a reservation: one unit of the streams of their products (docs/units.md), so all lines are done or
 * none. Lines beyond the bound of a unit are further groups, each a unit of its own.
 */
import type { ExecutedUnit, PartState } from '@caudal/aggregates/types.ts';
import { maxParts } from '@caudal/aggregates/types.ts';
import type { ReservationLine } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError, type Code, type FieldViolation, isTransient } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';
import type { Call } from '@caudal/rpc/types.ts';
import type { EndedReservation } from '../domain/claims.ts';
import { type StockEvent, type StockState, stockDecider } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';

/** Lines that are one unit. */
export interface Group {
  lines: ReservationLine[];
  /** The place of its first line in the request. */
  first: number;
  /** A repeat of the call repeats the command of each group. */
  commandId: CommandId | undefined;
  /**
   * Whether the process that owns a product's stream may do the call. Of several groups one would be done here, and another one
   * forwarded.
   */
  forwardable: boolean;
}

/** The stock of a line's product, as the decision sees it. */
export type StockPart = PartState<StockState, EndedReservation>;

/** Why a rule refuses a line. */
export interface LineRefusal {
  /** Its place in the request. */
  index: number;
  code: Code;
  reason: string;
  message: string;
}

/** The answer of a group, as it is stored for repeats. */
export interface GroupAnswer {
  /** Of a decision that was refused and has ended what was held: see docs/units.md. */
  refusals: LineRefusal[];
  /** Until when its lines are reserved at least, in milliseconds since 1970. */
  expireTime?: number;
}

/** How the answer of a group is stored. */
const groupAnswer = {
  encode: (answer: GroupAnswer) => ({ finish: () => Buffer.from(JSON.stringify(answer)) }),
  decode: (data: Uint8Array): GroupAnswer => JSON.parse(Buffer.from(data).toString()),
};

/** The outcome of a group. */
export type GroupOutcome<R> = { group: Group } & (
  | { kind: 'done'; executed: ExecutedUnit<R> }
  /** Not done: a rule refuses it. */
  | { kind: 'refused'; error: CaudalError }
  /** Maybe done, maybe not. */
  | { kind: 'unknown'; error: CaudalError }
);

/** The lines in groups; mostly one. */
export function groupsOf(
  { linesAUnit = maxParts }: Pick<InventoryDependencies, 'linesAUnit'>,
  lines: ReservationLine[],
  { commandId, forwardable = false }: Pick<Call, 'commandId' | 'forwardable'>,
): Group[] {
  const groups: Group[] = [];
  for (let first = 0; first < lines.length; first += linesAUnit) {
    const own = lines.slice(first, first + linesAUnit);
    // The first one has the call's own id, so that another request with this id is recognised.
    const key = commandId && (first === 0 ? commandId.key : derivedId(commandId.key, `lines from ${first}`));
    groups.push({
      lines: own,
      first,
      commandId: commandId && { ...commandId, key: key! },
      forwardable: forwardable && lines.length <= linesAUnit,
    });
  }
  return groups;
}

/**
 * Runs a command for each group and waits for all. Throws only bugs: refusals and transient errors are outcomes of their
 * group.
 */
export async function eachGroup<R>(
  groups: Group[],
  run: (group: Group) => Promise<ExecutedUnit<R>>,
): Promise<GroupOutcome<R>[]> {
  const settled = await Promise.allSettled(groups.map(run));
  return settled.map((result, n): GroupOutcome<R> => {
    const group = groups[n]!;
    if (result.status === 'fulfilled') return { kind: 'done', group, executed: result.value };
    const error: unknown = result.reason;
    if (!(error instanceof CaudalError)) throw error;
    return { kind: isTransient(error) ? 'unknown' : 'refused', group, error };
  });
}

/** Runs a group's unit: `decide` gives the events of each line; `answer` is called after it. */
export function executeGroup(
  { aggregates }: Pick<InventoryDependencies, 'aggregates'>,
  { lines, commandId, forwardable }: Pick<Group, 'lines'> & Partial<Group>,
  { origin, signal }: Pick<Call, 'origin'> & Partial<Call>,
  decide: (parts: StockPart[]) => StockEvent[][],
  answer: (after: StockState[]) => GroupAnswer = () => ({ refusals: [] }),
): Promise<ExecutedUnit<GroupAnswer>> {
  return aggregates.executeUnit({
    parts: lines.map(({ productId }) => ({ decider: stockDecider, id: productId })),
    decide,
    reply: (after) => answer(after.map(({ state }) => state)),
    replyCodec: groupAnswer,
    ...{ commandId, origin, forwardable, signal },
  });
}

/** Decides each line on its own. */
export function decideEach(
  { lines, first }: Group,
  parts: StockPart[],
  decide: (part: StockPart, line: ReservationLine) => StockEvent[],
): { events: StockEvent[][]; refusals: LineRefusal[] } {
  const refusals: LineRefusal[] = [];
  const events = parts.map((part, n) => {
    try {
      return decide(part, lines[n]!);
    } catch (error) {
      if (!(error instanceof CaudalError)) throw error;
      const { code, reason, message } = error;
      refusals.push({ index: first + n, code, reason, message });
      return [];
    }
  });
  return { events, refusals };
}

/** Adds the writes of the lines to the call's consistency token. */
export function noteWrites(call: Call, outcomes: GroupOutcome<unknown>[]): void {
  for (const outcome of outcomes) {
    if (outcome.kind !== 'done') continue;
    for (const { stream, version } of outcome.executed.streams) call.wrote(stream, version);
  }
}

/** Throws the first unknown outcome: the caller repeats the call, or releases the reservation. */
export function assertKnown(outcomes: GroupOutcome<unknown>[]): void {
  for (const outcome of outcomes) if (outcome.kind === 'unknown') throw outcome.error;
}

/** The errors of the refused groups. Throws that of an invalid request: it proves nothing about the reservation. */
export function refusedOf(outcomes: GroupOutcome<unknown>[]): CaudalError[] {
  const errors = outcomes.flatMap((outcome) => (outcome.kind === 'refused' ? [outcome.error] : []));
  const invalid = errors.find(({ code }) => code === 'INVALID_ARGUMENT');
  if (invalid) throw invalid;
  return errors;
}

/** A violation for each refused line. */
export function violationsOf(refusals: LineRefusal[], field: string): FieldViolation[] {
  return refusals.map(({ index, message }) => ({ field: `lines[${index}].${field}`, description: message }));
}

/** The answers of the groups that are done. */
export function answersOf<R>(outcomes: GroupOutcome<R>[]): R[] {
  return outcomes.flatMap((outcome) => (outcome.kind === 'done' ? [outcome.executed.reply] : []));
}
