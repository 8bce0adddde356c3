/** Ends a transfer that was sent. Its timer (sagas/transfers.ts) calls this for every transfer. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { Origin } from '@caudal/kernel/context.ts';
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { getEntry } from '@caudal/kernel/expiring-map.ts';
import { transferClaim } from '../domain/claims.ts';
import { walletDecider } from '../domain/wallet.ts';
import {
  confirmTransfer,
  openTransfer,
  receiveTransfer,
  returnTransfer,
  type Transfer,
  transferOutcome,
} from '../domain/wallet-transfers.ts';
import { textReply } from './text-reply.ts';

export interface DeliverTransferInput {
  fromWalletId: string;
  transferId: string;
  origin: Origin;
  signal?: AbortSignal;
}

/**
 * Gives the money to the receiver, or back to the sender if the receiver refuses it. Must be repeated until it
 * resolves: both wallets remember the transfer, so a repeat after a crash does only what is missing. Errors: transient
 * ones of the log; TRANSFER_UNKNOWN, which is a bug or a repeat more than 30 days after the end.
 */
export function deliverTransfer({ aggregates }: { aggregates: Aggregates }) {
  return async ({ fromWalletId, transferId, origin, signal }: DeliverTransferInput): Promise<void> => {
    const transfer = { walletId: fromWalletId, transferId };
    const { state: sender } = await aggregates.load(walletDecider, fromWalletId);
    const sent = getEntry(sender.sent, transferId);
    if (!sent) return assertEnded();
    const { toWalletId, reference } = sent;
    const amount = { minorUnits: sent.amount, currency: sender.currency };
    const reason = await receive({ transferId, fromWalletId, toWalletId, amount, reference });
    await aggregates.execute({
      decider: walletDecider,
      id: fromWalletId,
      decide: (state, context) =>
        reason === ''
          ? confirmTransfer(state, context, transfer)
          : returnTransfer(state, context, { ...transfer, reason }),
      reply: () => '',
      replyCodec: textReply,
      origin,
      signal,
    });

    /** Throws TRANSFER_UNKNOWN unless the transfer has ended. */
    async function assertEnded(): Promise<void> {
      await aggregates.execute({
        decider: walletDecider,
        id: fromWalletId,
        decide(state, context) {
          openTransfer(state, context, transfer);
          return [];
        },
        reply: () => '',
        replyCodec: textReply,
        origin,
        signal,
      });
    }

    /** Empty if the receiver has the money, else the reason of its final refusal. */
    async function receive(transfer: Transfer): Promise<string> {
      try {
        const executed = await aggregates.execute({
          decider: walletDecider,
          id: transfer.toWalletId,
          decide: (state, context) => receiveTransfer(state, context, transfer),
          reply: ({ claim }) => transferOutcome(claim(transferClaim(transferId))),
          replyCodec: textReply,
          origin,
          signal,
        });
        return executed.reply;
      } catch (error) {
        if (isTransient(error) || !(error instanceof CaudalError)) throw error;
        return error.reason;
      }
    }
  };
}
