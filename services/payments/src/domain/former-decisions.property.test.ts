/**
 * The decisions of a wallet of today, with claims, against those of version 0.2, whose state remembered outcomes. And a
 * wallet of 0.2 in a log.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { encodeState } from '@caudal/aggregates/state-data.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { getEntry } from '@caudal/kernel/expiring-map.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { claimsInMemory } from '@caudal/testing/claims-in-memory.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import * as formerDebits from '../testing/former-debits.ts';
import * as formerTransfers from '../testing/former-transfers.ts';
import { type FormerWallet, formerWalletDecider } from '../testing/former-wallet.ts';
import { transferClaim, type WalletContext } from './claims.ts';
import { type WalletEvent, type WalletState, walletDecider } from './wallet.ts';
import * as debits from './wallet-debits.ts';
import { deposit, freeze, openWallet, unfreeze } from './wallet-decisions.ts';
import * as transfers from './wallet-transfers.ts';

const walletId = 'w1';
const ofTransfers = new Set<string>(['send', 'receive', 'confirm', 'return']);
const dayMs = 86_400_000;
const id = fc.nat(3).map(String);
const amount = fc.integer({ min: 1, max: 3 }).map((n) => ({ minorUnits: BigInt(n * 20), currency: 'GBP' }));
const command = fc.oneof(
  ...(['debit', 'undo', 'refund', 'send', 'receive', 'confirm', 'return'] as const).map((kind) =>
    fc.record({ kind: fc.constant(kind), id, amount }),
  ),
  fc.record({ kind: fc.constantFrom('deposit' as const, 'freeze' as const, 'unfreeze' as const), id, amount }),
);
type WalletCommand = typeof command extends fc.Arbitrary<infer C> ? C : never;

function decideWith<S>(
  { debit, undoDebit, refundDebit }: { [K in 'debit' | 'undoDebit' | 'refundDebit']: Decision<S, (typeof debits)[K]> },
  steps: {
    [K in 'sendTransfer' | 'receiveTransfer' | 'confirmTransfer' | 'returnTransfer']: Decision<
      S,
      (typeof transfers)[K]
    >;
  },
  state: S & WalletState,
  context: WalletContext,
  { kind, id: of, amount: money }: WalletCommand,
): WalletEvent[] {
  const payment = { walletId, paymentId: of, customerId: 'c', amount: money };
  const sending = { transferId: of, fromWalletId: walletId, toWalletId: 'w2', amount: money, reference: '' };
  switch (kind) {
    case 'debit':
      return debit(state, context, payment);
    case 'undo':
      return undoDebit(state, context, payment);
    case 'refund':
      return refundDebit(state, context, payment);
    case 'send':
      return steps.sendTransfer(state, context, sending);
    case 'receive':
      // An id of its own: a wallet receives no transfer that it has sent.
      return steps.receiveTransfer(state, context, {
        ...sending,
        transferId: `from-${of}`,
        fromWalletId: 'w2',
        toWalletId: walletId,
      });
    case 'confirm':
      return steps.confirmTransfer(state, context, { walletId, transferId: of });
    case 'return':
      return steps.returnTransfer(state, context, { walletId, transferId: of, reason: 'x' });
    case 'deposit':
      return deposit(state, { walletId, amount: money, reference: '' });
    case 'freeze':
      return freeze(state, { walletId, reason: '' });
    case 'unfreeze':
      return unfreeze(state, walletId);
  }
}
type Decision<S, F> = F extends (state: never, context: never, input: infer I) => WalletEvent[]
  ? (state: S, context: WalletContext, input: I) => WalletEvent[]
  : never;

const today = (state: WalletState, context: WalletContext, input: WalletCommand) =>
  decideWith<WalletState>(debits, transfers, state, context, input);
const formerly = (state: FormerWallet, context: WalletContext, input: WalletCommand) =>
  decideWith<FormerWallet>(formerDebits, formerTransfers, state as FormerWallet & WalletState, context, input);

function answerOf(decide: () => WalletEvent[]): { events: WalletEvent[] } | { refused: string } {
  try {
    return { events: decide() };
  } catch (error) {
    if (error instanceof CaudalError) return { refused: error.reason };
    throw error;
  }
}

test('commands get the answers of version 0.2, up to the millisecond in which a claim ends', () => {
  const passes = fc.oneof(
    { weight: 9, arbitrary: fc.nat(50).map((seconds) => seconds * 1_000) },
    { weight: 1, arbitrary: fc.constantFrom(30 * dayMs - 1, 30 * dayMs, 31 * dayMs) },
  );
  fc.assert(
    fc.property(fc.array(fc.record({ input: command, passes }), { maxLength: 80, size: 'max' }), (steps) => {
      let now = new Date(Date.UTC(2026, 0, 1));
      let state = walletDecider.initial;
      let former = formerWalletDecider.initial;
      const claims = claimsInMemory(walletDecider.claims);
      const apply = (events: WalletEvent[]) => {
        for (const event of events) {
          state = walletDecider.evolve(state, event, now);
          former = formerWalletDecider.evolve(former, event, now);
          claims.record(event, now);
        }
      };
      apply(openWallet(state, { walletId, customerId: 'c', currency: 'GBP' }));
      for (const { input, passes: ms } of steps) {
        now = new Date(now.getTime() + ms);
        const context = claims.context(now);
        const actual = answerOf(() => today(state, context, input));
        const expected = answerOf(() => formerly(former, context, input));
        // Version 0.2 knew an ended transfer for longer than 30 days, until it happened to drop it.
        const transferId = input.kind === 'receive' ? `from-${input.id}` : input.id;
        const before = getEntry(former.transfers, transferId);
        const isForgotten = before && before.how !== 'sent' && !context.claim(transferClaim(transferId));
        if (!isForgotten || !ofTransfers.has(input.kind)) expect(actual).toEqual(expected);
        if ('events' in actual) apply(actual.events);
        expect(state.balance).toBe(former.balance);
      }
    }),
    { numRuns: 100 },
  );
});

test('what a wallet of version 0.2 has done is known after the upgrade, from its snapshot', async () => {
  const now = new Date(Date.UTC(2026, 0, 1));
  const log = memoryLog({ domain: 'payments', clock: () => now });
  const open = () => openAggregates({ log: log.connect(), clock: () => now, ids: newId });
  const shared = {
    ...{ id: walletId, reply: () => undefined, replyCodec: noReply },
    origin: { actor: 'test', causationId: '', correlationId: '', traceparent: '' },
  };
  const former = open();
  const process = open();
  const formerlyDo = (decide: (state: FormerWallet, context: WalletContext) => WalletEvent[]) =>
    former.execute({
      ...shared,
      decider: formerWalletDecider,
      decide: (state, context) => decide(state, context as WalletContext),
    });
  const run = (input: WalletCommand) =>
    process.execute({ ...shared, decider: walletDecider, decide: (state, context) => today(state, context, input) });
  const money = { minorUnits: 20n, currency: 'GBP' };
  const about = (kind: WalletCommand['kind'], of: string) => ({ kind, id: of, amount: money }) as WalletCommand;

  await formerlyDo((state) => openWallet(state as never, { walletId, customerId: 'c', currency: 'GBP' }));
  for (let n = 0; n < 500; n++) await formerlyDo((state, context) => formerly(state, context, about('deposit', '')));
  for (const kind of ['debit', 'send', 'receive'] as const)
    await formerlyDo((state, context) => formerly(state, context, about(kind, 'a')));
  await formerlyDo((state, context) => formerly(state, context, about('send', 'b')));
  await formerlyDo((state, context) => formerly(state, context, about('confirm', 'b')));
  await former.drain();
  // A snapshot with all of it.
  const kept = (await former.load(formerWalletDecider, walletId)) as { state: FormerWallet; version: number };
  await log.saveSnapshot(`payments.wallet/${walletId}`, {
    version: kept.version,
    schemaVersion: 3,
    data: Buffer.concat([...encodeState(kept.state)]),
  });

  const { version } = await process.load(walletDecider, walletId);
  for (const [kind, of] of [
    ['debit', 'a'],
    ['send', 'a'],
    ['receive', 'a'],
    ['send', 'b'],
    ['confirm', 'b'],
  ] as const)
    await run(about(kind, of));
  expect((await process.load(walletDecider, walletId)).version).toBe(version);
  await run(about('undo', 'a'));
  await run(about('undo', 'a'));
  await run(about('confirm', 'a'));
  await run(about('confirm', 'a'));
  const { state, version: after } = await process.load(walletDecider, walletId);
  expect(after).toBe(version + 2);
  expect(state).toMatchObject({ balance: 500n * 20n - 20n, sent: { size: 0 } });
});
