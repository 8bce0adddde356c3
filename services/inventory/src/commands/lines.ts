/** Commands about several products: a command a product, all at once, so that they share group commits. */
import type { Executed } from '@caudal/aggregates/types.ts';
import type { ReservationLine } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError, type FieldViolation, isTransient } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';
import type { Call } from '@caudal/rpc/types.ts';

/** What became of one line. */
export type LineOutcome<R> = { line: ReservationLine; index: number } & (
  | { kind: 'done'; executed: Executed<R> }
  /** It will not be done: a rule says no. */
  | { kind: 'refused'; error: CaudalError }
  /** It may have been done or not. */
  | { kind: 'unknown'; error: CaudalError }
);

/** Throws INVALID_ARGUMENT PRODUCT_TWICE if a product stands in two lines. */
export function assertDistinct(lines: ReservationLine[]): void {
  const seen = new Set<string>();
  const violations: FieldViolation[] = [];
  lines.forEach(({ productId }, index) => {
    if (seen.has(productId)) {
      violations.push({
        field: `lines[${index}].product_id`,
        description: 'stands in an earlier line: add the quantities up',
      });
    }
    seen.add(productId);
  });
  if (violations.length > 0) {
    throw new CaudalError('INVALID_ARGUMENT', 'PRODUCT_TWICE', 'A product stands in two lines.', { violations });
  }
}

/** Runs a command a line and waits for all. Only faults are thrown: what no rule refused and no dependency caused. */
export async function eachLine<R>(
  lines: ReservationLine[],
  run: (line: ReservationLine) => Promise<Executed<R>>,
): Promise<LineOutcome<R>[]> {
  const settled = await Promise.allSettled(lines.map((line) => run(line)));
  return settled.map((result, index): LineOutcome<R> => {
    const line = lines[index]!;
    if (result.status === 'fulfilled') return { kind: 'done', line, index, executed: result.value };
    const error: unknown = result.reason;
    if (!(error instanceof CaudalError)) throw error;
    return { kind: isTransient(error) ? 'unknown' : 'refused', line, index, error };
  });
}

/** The command's id for one line: a repeat of the call repeats each line's command. */
export function lineCommandId({ commandId }: Call, productId: string): CommandId | undefined {
  return commandId && { key: derivedId(commandId.key, productId), hash: commandId.hash };
}

/** Notes in the call what the lines have written. */
export function noteWrites(call: Call, outcomes: LineOutcome<unknown>[]): void {
  for (const outcome of outcomes) {
    if (outcome.kind === 'done') call.wrote(outcome.executed.stream, outcome.executed.version);
  }
}

/** Throws the first outcome that is not known: the caller repeats the call, or releases the reservation. */
export function assertKnown(outcomes: LineOutcome<unknown>[]): void {
  for (const outcome of outcomes) if (outcome.kind === 'unknown') throw outcome.error;
}

/** Throws if the request itself is wrong: its id was used for something else. Says nothing about the reservation. */
export function assertValid(outcomes: LineOutcome<unknown>[]): void {
  const invalid = outcomes.find((outcome) => outcome.kind === 'refused' && outcome.error.code === 'INVALID_ARGUMENT');
  if (invalid?.kind === 'refused') throw invalid.error;
}

/** A violation for each line that was refused. */
export function violationsOf(outcomes: LineOutcome<unknown>[], field: string): FieldViolation[] {
  return outcomes.flatMap((outcome) =>
    outcome.kind === 'refused'
      ? [{ field: `lines[${outcome.index}].${field}`, description: outcome.error.message }]
      : [],
  );
}
