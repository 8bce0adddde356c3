/** What a wallet remembers of debits and transfers that have an outcome: a claim each, beside the stream, for 30 days. */
import type { ClaimContext, ClaimRules } from '@caudal/aggregates/types.ts';
import type { EventOf, wallet } from '@caudal/contract/entities.ts';
import { rememberedDays, rememberedMs } from '@caudal/contract/remembered.ts';

/** The outcome of a debit or of a transfer; which of both the claim's id says. */
export interface WalletOutcome {
  how: 'taken' | 'returned' | 'refused' | 'barred' | 'delivered' | 'received';
  amount: bigint;
  /** Why it was refused; empty otherwise. */
  reason: string;
}

/** The context of decisions about debits and transfers. */
export type WalletContext = ClaimContext<WalletOutcome>;

/** Outcomes in the order of their numbers in the log: only ever add to its end. */
const hows = ['taken', 'returned', 'refused', 'barred', 'delivered', 'received'] as const;

/** Until when an outcome of this time is remembered. */
export function rememberedUntil(now: Date): Date {
  return new Date(now.getTime() + rememberedMs);
}

/** The id of a transfer's claim: a payment may have the same id. It begins with the transfer's, which may be a UUIDv7. */
export function transferClaim(transferId: string): string {
  return `${transferId}/transfer`;
}

/** The id of the claim of a refund of a part of a payment. It begins with the payment's, which may be a UUIDv7. */
export function refundClaim(paymentId: string, refundId: string): string {
  return `${paymentId}/refund/${refundId}`;
}

type Event = EventOf<typeof wallet>;

function outcomeOf(
  event: Event,
): { id: string; how: WalletOutcome['how']; amount?: bigint; reason?: string } | undefined {
  switch (event.$case) {
    case 'debited':
      return { id: event.value.paymentId, how: 'taken', amount: event.value.amount };
    case 'credited': {
      const { paymentId, refundId, amount } = event.value;
      return { id: refundId ? refundClaim(paymentId, refundId) : paymentId, how: 'returned', amount };
    }
    case 'debitRefused':
      return { ...event.value, id: event.value.paymentId, how: 'refused' };
    case 'debitBarred':
      return { id: event.value.paymentId, how: 'barred' };
    case 'transferDelivered':
      return { id: transferClaim(event.value.transferId), how: 'delivered' };
    case 'transferReceived':
      return { id: transferClaim(event.value.transferId), how: 'received', amount: event.value.amount };
    case 'transferReturned':
      return { id: transferClaim(event.value.transferId), how: 'returned', amount: event.value.amount };
    case 'transferRefused':
      return { ...event.value, id: transferClaim(event.value.transferId), how: 'refused' };
    case 'created':
    case 'deposited':
    case 'withdrawn':
    case 'transferSent':
    case 'frozen':
    case 'unfrozen':
      return undefined;
  }
}

export const walletClaims: ClaimRules<WalletOutcome, Event> = {
  days: rememberedDays,
  of(event) {
    const left = outcomeOf(event);
    if (!left) return [];
    const { id, how, amount = 0n, reason = '' } = left;
    return [{ id, outcome: { how, amount, reason } }];
  },
  encode: ({ how, amount, reason }) => ({
    kind: hows.indexOf(how) + 1,
    outcome: Buffer.from(reason ? `${amount} ${reason}` : `${amount}`),
  }),
  decode({ kind, outcome }) {
    const how = hows[kind - 1];
    if (!how) throw new Error(`A claim of a wallet has the outcome ${kind}, which is not known`);
    const [amount, reason = ''] = Buffer.from(outcome).toString().split(' ') as [string, string?];
    return { how, amount: BigInt(amount), reason };
  },
};
