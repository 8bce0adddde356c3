import { CaudalError } from '@caudal/kernel/errors.ts';
import { claimsInMemory } from '@caudal/testing/claims-in-memory.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { transferClaim } from './claims.ts';
import { type WalletEvent, type WalletState, walletDecider } from './wallet.ts';
import { debit, refundDebit, undoDebit } from './wallet-debits.ts';
import { deposit, freeze, openWallet, unfreeze, withdraw } from './wallet-decisions.ts';
import {
  confirmTransfer,
  openTransfer,
  receiveTransfer,
  returnTransfer,
  sendTransfer,
  type Transfer,
  transferAtOnce,
  transferOutcome,
} from './wallet-transfers.ts';

const names = ['w0', 'w1', 'w2'];
const name = fc.constantFrom(...names);
const amount = fc.integer({ min: 1, max: 60 }).map((n) => ({ minorUnits: BigInt(n), currency: 'GBP' }));
const id = fc.nat(4).map(String);
const command = fc.oneof(
  fc.record({ kind: fc.constant('deposit' as const), name, amount }),
  fc.record({ kind: fc.constant('withdraw' as const), name, amount }),
  fc.record({ kind: fc.constant('debit' as const), name, amount, id }),
  fc.record({ kind: fc.constant('undo' as const), name, id }),
  fc.record({ kind: fc.constant('refund' as const), name, id }),
  fc.record({ kind: fc.constant('send' as const), name, to: name, amount, id }),
  fc.record({ kind: fc.constant('transfer' as const), name, to: name, amount, id }),
  // One step of the delivery of any transfer.
  fc.record({ kind: fc.constant('receive' as const), id }),
  fc.record({ kind: fc.constant('end' as const), id }),
  fc.record({ kind: fc.constant('month' as const) }),
  fc.record({ kind: fc.constant('freeze' as const), name }),
  fc.record({ kind: fc.constant('unfreeze' as const), name }),
);
type WalletCommand = typeof command extends fc.Arbitrary<infer C> ? C : never;

/** Money that entered the wallets from outside minus money that left them, by the events alone. */
function flow({ $case, value }: WalletEvent): bigint {
  if ($case === 'deposited' || $case === 'credited') return value.amount;
  return $case === 'withdrawn' || $case === 'debited' ? -value.amount : 0n;
}

test('whatever moves between wallets: none is below zero, and money enters and leaves only by deposits and withdrawals', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80, size: 'max' }), (commands) => {
      const wallets = new Map<string, WalletState>();
      const transfers = new Map<string, Transfer>();
      let world = 0n;
      let at = new Date('2026-01-01T00:00:00Z');
      const claims = new Map(names.map((wallet) => [wallet, claimsInMemory(walletDecider.claims)]));
      const context = (wallet: string) => claims.get(wallet)!.context(at);
      const run = (wallet: string, decide: (state: WalletState) => WalletEvent[]) => {
        let state = wallets.get(wallet) ?? walletDecider.initial;
        for (const event of decide(state)) {
          world += flow(event);
          const before = state.balance;
          state = walletDecider.evolve(state, event, at);
          claims.get(wallet)!.record(event, at);
          expect(state.balance).toBeGreaterThanOrEqual(0n);
          // Each event carries the balance after it, and changes the balance by its amount only.
          if ('balance' in event.value) {
            const change = state.balance - before;
            expect(change < 0n ? -change : change).toBe(event.value.amount);
          }
        }
        wallets.set(wallet, state);
      };
      /** The second step of a transfer's delivery: the sender records its outcome. */
      const endTransfer = (transferId: string) => {
        const transfer = transfers.get(transferId);
        const reason = transfer
          ? transferOutcome(context(transfer.toWalletId).claim(transferClaim(transferId)))
          : 'TRANSFER_UNKNOWN';
        if (!transfer || reason === 'TRANSFER_UNKNOWN') return;
        const of = { walletId: transfer.fromWalletId, transferId };
        run(of.walletId, (state) =>
          reason === ''
            ? confirmTransfer(state, context(of.walletId), of)
            : returnTransfer(state, context(of.walletId), { ...of, reason }),
        );
      };
      const apply = (input: WalletCommand) => {
        switch (input.kind) {
          case 'deposit':
            return run(input.name, (state) =>
              deposit(state, { walletId: input.name, amount: input.amount, reference: '' }),
            );
          case 'withdraw':
            return run(input.name, (state) =>
              withdraw(state, { walletId: input.name, amount: input.amount, reference: '' }),
            );
          case 'debit':
            return run(input.name, (state) =>
              debit(state, context(input.name), {
                walletId: input.name,
                paymentId: input.id,
                customerId: 'c',
                amount: input.amount,
              }),
            );
          case 'undo':
            return run(input.name, (state) => undoDebit(state, context(input.name), { paymentId: input.id }));
          case 'refund':
            return run(input.name, (state) => {
              // A payment refunds only a debit that it has recorded as taken.
              const taken = context(input.name).claim(input.id);
              if (taken?.how !== 'taken') return [];
              const money = { minorUnits: taken.amount, currency: 'GBP' };
              return refundDebit(state, context(input.name), {
                walletId: input.name,
                paymentId: input.id,
                amount: money,
              });
            });
          case 'send': {
            if (transfers.has(input.id)) return run(input.name, () => []);
            const transfer = {
              transferId: input.id,
              fromWalletId: input.name,
              toWalletId: input.to,
              amount: input.amount,
              reference: '',
            };
            run(input.name, (state) => sendTransfer(state, context(input.name), transfer));
            transfers.set(input.id, transfer);
            return undefined;
          }
          case 'transfer': {
            if (transfers.has(input.id)) return undefined;
            const transfer = {
              ...{ transferId: input.id, fromWalletId: input.name, toWalletId: input.to },
              ...{ amount: input.amount, reference: '' },
            };
            const party = (id: string) => ({ state: wallets.get(id) ?? walletDecider.initial, ...context(id) });
            const [left, arrived] = transferAtOnce(party(input.name), party(input.to), transfer);
            run(input.name, () => left);
            run(input.to, () => arrived);
            transfers.set(input.id, transfer);
            return undefined;
          }
          case 'receive': {
            const transfer = transfers.get(input.id);
            if (!transfer) return;
            const { fromWalletId: walletId } = transfer;
            const of = { walletId, transferId: input.id };
            if (!openTransfer(wallets.get(walletId)!, context(walletId), of)) return;
            return run(transfer.toWalletId, (state) => receiveTransfer(state, context(transfer.toWalletId), transfer));
          }
          case 'end':
            return endTransfer(input.id);
          case 'month':
            // A delivery that broke off between two wallets is finished by then; one that has not begun may wait for
            // ever.
            for (const transferId of transfers.keys()) endTransfer(transferId);
            at = new Date(at.getTime() + 31 * 86_400_000);
            return undefined;
          case 'freeze':
            return run(input.name, (state) => freeze(state, { walletId: input.name, reason: '' }));
          case 'unfreeze':
            return run(input.name, (state) => unfreeze(state, input.name));
        }
      };
      for (const walletId of names) {
        run(walletId, (state) => openWallet(state, { walletId, customerId: 'c', currency: 'GBP' }));
      }
      const all = [
        ...commands,
        ...[...Array(5).keys()].flatMap((n) => [
          { kind: 'receive' as const, id: String(n) },
          { kind: 'end' as const, id: String(n) },
        ]),
      ];
      for (const input of all) {
        try {
          apply(input);
        } catch (error) {
          if (!(error instanceof CaudalError)) throw error;
        }
      }
      // Every transfer has ended, so all money is in wallets.
      expect([...wallets.values()].reduce((sum, { balance }) => sum + balance, 0n)).toBe(world);
    }),
    { numRuns: 500 },
  );
});
