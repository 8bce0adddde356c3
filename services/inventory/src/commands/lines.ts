/** Commands about several products: one command per product, all at the same time, so they share group commits. */
import type { Executed } from '@caudal/aggregates/types.ts';
import type { ReservationLine } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError, type FieldViolation, isTransient } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';
import type { Call } from '@caudal/rpc/types.ts';

/** The outcome of one line. */
export type LineOutcome<R> = { line: ReservationLine; index: number } & (
  | { kind: 'done'; executed: Executed<R> }
  /** Not done: a rule refuses it. */
  | { kind: 'refused'; error: CaudalError }
  /** Maybe done, maybe not. */
  | { kind: 'unknown'; error: CaudalError }
);

/** Throws INVALID_ARGUMENT PRODUCT_TWICE if a product is in two lines. */
export function assertDistinct(lines: ReservationLine[]): void {
  const seen = new Set<string>();
  const violations: FieldViolation[] = [];
  lines.forEach(({ productId }, index) => {
    if (seen.has(productId)) {
      violations.push({
        field: `lines[${index}].product_id`,
        description: 'is in an earlier line already: add the quantities up',
      });
    }
    seen.add(productId);
  });
  if (violations.length > 0) {
    throw new CaudalError('INVALID_ARGUMENT', 'PRODUCT_TWICE', 'A product is in two lines.', { violations });
  }
}

/**
 * Runs one command per line and waits for all. Throws only bugs: refusals and transient errors are outcomes of their
 * line.
 */
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
  return commandId && { ...commandId, key: derivedId(commandId.key, productId) };
}

/**
 * Whether the lines' commands may be done by the process that owns the product's stream. With several lines some would be done
 * here before another one is forwarded.
 */
export function isForwardable({ forwardable }: Call, lines: ReservationLine[]): boolean {
  return forwardable === true && lines.length === 1;
}

/** Adds the writes of the lines to the call's consistency token. */
export function noteWrites(call: Call, outcomes: LineOutcome<unknown>[]): void {
  for (const outcome of outcomes) {
    if (outcome.kind === 'done') call.wrote(outcome.executed.stream, outcome.executed.version);
  }
}

/** Throws the first unknown outcome: the caller repeats the call, or releases the reservation. */
export function assertKnown(outcomes: LineOutcome<unknown>[]): void {
  for (const outcome of outcomes) if (outcome.kind === 'unknown') throw outcome.error;
}

/** Throws if the request is invalid: its id belongs to another request. That proves nothing about the reservation. */
export function assertValid(outcomes: LineOutcome<unknown>[]): void {
  const invalid = outcomes.find((outcome) => outcome.kind === 'refused' && outcome.error.code === 'INVALID_ARGUMENT');
  if (invalid?.kind === 'refused') throw invalid.error;
}

/** A violation for each refused line. */
export function violationsOf(outcomes: LineOutcome<unknown>[], field: string): FieldViolation[] {
  return outcomes.flatMap((outcome) =>
    outcome.kind === 'refused'
      ? [{ field: `lines[${outcome.index}].${field}`, description: outcome.error.message }]
      : [],
  );
}
