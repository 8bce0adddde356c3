/** Random commands about one product's stock, decided as today and as by version 0.2. */
import type { DecisionContext } from '@caudal/aggregates/types.ts';
import fc from 'fast-check';
import type { StockContext } from '../domain/claims.ts';
import { commit, expire, release, reserve, returnPieces, withdraw } from '../domain/reservations.ts';
import type { StockEvent, StockState } from '../domain/stock.ts';
import { adjust, restock } from '../domain/stock-item.ts';
import * as former from './former-reservations.ts';
import type { FormerStock } from './former-stock.ts';

const id = fc.nat(5).map((n) => `r${n}`);
/** Mostly the same, so that commands about one reservation agree. */
const quantity = fc.oneof(
  { weight: 4, arbitrary: fc.constant(2n) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 8 }).map(BigInt) },
);

const restocking = fc.record({ kind: fc.constant('restock' as const), quantity });
const adjusting = fc.record({
  kind: fc.constant('adjust' as const),
  delta: fc.integer({ min: -8, max: 8 }).map(BigInt),
});
const reserving = fc.record({ kind: fc.constant('reserve' as const), id, quantity });
const committing = fc.record({ kind: fc.constant('commit' as const), id, quantity });
const releasing = fc.record({ kind: fc.constant('release' as const), id, committed: fc.constant(undefined) });
const expiring = fc.record({ kind: fc.constant('expire' as const), id });
const returning = fc.record({ kind: fc.constant('return' as const), id, quantity });

export const command = fc.oneof(restocking, adjusting, reserving, committing, releasing, expiring, returning);

/**
 * Those that version 0.2 decided in the same way, and others that may give back pieces whose commit is forgotten; most are steps
 * of a reservation that succeeds. Returns are not among them: 0.2 knew one a reservation.
 */
export const anyCommand = fc.oneof(
  { weight: 6, arbitrary: reserving },
  { weight: 6, arbitrary: committing },
  { weight: 4, arbitrary: releasing },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), id, committed: quantity }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), id }) },
  { weight: 1, arbitrary: expiring },
  { weight: 1, arbitrary: fc.oneof(restocking, adjusting) },
);

type CommandOf<T> = T extends fc.Arbitrary<infer C> ? C : never;
export type StockCommand = CommandOf<typeof command> | CommandOf<typeof anyCommand>;

type Decisions<S, X> = {
  [K in 'reserve' | 'commit' | 'release' | 'withdraw' | 'expire' | 'returnPieces']: (
    state: S,
    context: X,
    input: Parameters<(typeof former)[K]>[2] & { productId: string; quantity: bigint },
  ) => StockEvent[];
};

const productId = 'P1';
const reason = 'x';

function decideWith<S, X extends DecisionContext>(
  decisions: Decisions<S, X>,
  state: S,
  context: X,
  input: Exclude<StockCommand, { kind: 'restock' | 'adjust' }>,
): StockEvent[] {
  const line = { productId, reservationId: input.id, quantity: 'quantity' in input ? input.quantity : 0n, reason };
  switch (input.kind) {
    case 'reserve': {
      const expireAt = new Date(context.now.getTime() + 60_000);
      return decisions.reserve(state, context, { ...line, expireAt, attributes: {} });
    }
    case 'commit':
      return decisions.commit(state, context, line);
    case 'release':
      return decisions.release(state, context, { ...line, ...(input.committed && { committed: input.committed }) });
    case 'withdraw':
      return decisions.withdraw(state, context, line);
    case 'expire':
      return decisions.expire(state, context, line);
    case 'return':
      return decisions.returnPieces(state, context, line);
  }
}

export function decideToday(state: StockState, context: StockContext, input: StockCommand): StockEvent[] {
  if (input.kind === 'restock') return restock(state, { productId, quantity: input.quantity });
  if (input.kind === 'adjust') return adjust(state, { productId, delta: input.delta, reason });
  return decideWith<StockState, StockContext>(
    { reserve, commit, release, withdraw, expire, returnPieces },
    state,
    context,
    input,
  );
}

/** As by version 0.2; of restocking and adjusting, which have not changed, as today. */
export function decideFormerly(state: FormerStock, context: DecisionContext, input: StockCommand): StockEvent[] {
  if (input.kind === 'restock') return restock(state, { productId, quantity: input.quantity });
  if (input.kind === 'adjust') return adjust(state, { productId, delta: input.delta, reason });
  return decideWith<FormerStock, DecisionContext>(former, state, context, input);
}
