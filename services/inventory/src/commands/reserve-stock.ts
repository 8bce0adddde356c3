/**
 * Reserves all lines of an order, or none. Each line is a command to its product's stock. If one is refused, the others
 * are released; an unknown line too, which bars it. If a release fails, the answer is UNAVAILABLE: the caller repeats
 * the call or releases the reservation. See README, "All lines or none" and "A refused line gets no event".
 */
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { checkTexts } from '@caudal/context/texts.ts';
import { Reservation, type ReserveStockRequest } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { refused } from '@caudal/kernel/errors.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { assertHeld, reserve, withdraw } from '../domain/reservations.ts';
import { openReservation, stockDecider } from '../domain/stock.ts';
import type { InventoryDependencies } from './dependencies.ts';
import {
  assertDistinct,
  assertKnown,
  assertValid,
  eachLine,
  isForwardable,
  type LineOutcome,
  lineCommandId,
  noteWrites,
  violationsOf,
} from './lines.ts';
import { releaseLine } from './release-line.ts';

const defaultTtlSeconds = 15n * 60n;

export function reserveStock(dependencies: InventoryDependencies) {
  const { aggregates, clock } = dependencies;
  return async (request: ReserveStockRequest, call: Call): Promise<Reservation> => {
    const { reservationId, lines, attributes } = request;
    assertDistinct(lines);
    checkTexts('attributes', attributes);
    const expireAt = new Date(clock().getTime() + ttlMs(request));

    const outcomes = await eachLine(lines, async (line) => {
      const executed = await aggregates.execute({
        decider: stockDecider,
        id: line.productId,
        decide: (state, context) => reserve(state, context, { ...line, reservationId, expireAt, attributes }),
        reply: ({ state }): Reservation => ({
          reservationId,
          lines: [line],
          expireTime: openReservation(state, reservationId)?.expireAt,
        }),
        replyCodec: Reservation,
        commandId: lineCommandId(call, line.productId),
        origin: call.origin,
        signal: call.signal,
        forwardable: isForwardable(call, lines),
      });
      if (executed.repeated) await assertStillHeld(line.productId, reservationId, call);
      return executed;
    });

    const refusals = outcomes.filter((outcome) => outcome.kind === 'refused');
    if (refusals.length > 0) {
      const others = outcomes.filter((outcome) => outcome.kind !== 'refused');
      const released = await eachLine(
        others.map(({ line }) => line),
        ({ productId }) =>
          releaseLine(dependencies, {
            decide: withdraw,
            productId,
            reservationId,
            reason: 'REFUSED',
            origin: call.origin,
          }),
      );
      assertValid(outcomes);
      assertKnown(released);
      throw refusal(
        outcomes,
        refusals.map(({ error }) => error),
      );
    }
    assertKnown(outcomes);
    noteWrites(call, outcomes);
    return { reservationId, lines, expireTime: firstExpiry(outcomes) };
  };

  /** Throws RESERVATION_ENDED if the line of an earlier call is no longer reserved or committed. */
  async function assertStillHeld(productId: string, reservationId: string, { origin, signal }: Call): Promise<void> {
    await aggregates.execute({
      decider: stockDecider,
      id: productId,
      decide: (state, context) => assertHeld(state, context, reservationId),
      reply: () => undefined,
      replyCodec: noReply,
      origin,
      signal,
    });
  }
}

function ttlMs({ ttl }: ReserveStockRequest): number {
  const { seconds, nanos } = ttl ?? { seconds: defaultTtlSeconds, nanos: 0 };
  return Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
}

/** One refusal for all lines. A product without stock counts as INSUFFICIENT_STOCK. */
function refusal(outcomes: LineOutcome<Reservation>[], errors: CaudalError[]): CaudalError {
  const reasons = new Set(errors.map(({ reason }) => (reason === 'STOCK_NOT_FOUND' ? 'INSUFFICIENT_STOCK' : reason)));
  const reason = reasons.has('INSUFFICIENT_STOCK') ? 'INSUFFICIENT_STOCK' : [...reasons][0]!;
  return refused(reason, 'Not all lines can be reserved, so none is.', {
    violations: violationsOf(outcomes, 'quantity'),
  });
}

/** The earliest expiry of the lines: the reservation is complete only until then. */
function firstExpiry(outcomes: LineOutcome<Reservation>[]): Date | undefined {
  const times = outcomes.flatMap((outcome) =>
    outcome.kind === 'done' && outcome.executed.reply.expireTime ? [outcome.executed.reply.expireTime.getTime()] : [],
  );
  return times.length > 0 ? new Date(Math.min(...times)) : undefined;
}
