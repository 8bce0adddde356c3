/** Grants and rejects acts that wait for a second person: caudal.payments.v1.ApprovalService. */
import type { Aggregates, Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Approval, ApprovalServiceService } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { service } from '@caudal/rpc/types.ts';
import { approvalMessage } from '../approval-message.ts';
import {
  type ApprovalEvent,
  type ApprovalState,
  approvalDecider,
  grantApproval,
  rejectApproval,
} from '../domain/approval.ts';
import {
  type PaymentEvent,
  type PaymentState,
  paymentDecider,
  refundPayment,
  settlePayment,
} from '../domain/payment.ts';
import { type WalletEvent, type WalletState, walletDecider } from '../domain/wallet.ts';
import { deposit } from '../domain/wallet-decisions.ts';

type State = ApprovalState | WalletState | PaymentState;
type Event = ApprovalEvent | WalletEvent | PaymentEvent;
/** Of an approval, or of what its act changes: a unit has streams of both. */
type AnyDecider = Decider<State, Event>;

/** The stream that the act changes, and how. */
interface Target {
  decider: AnyDecider;
  id: string;
  decide(state: State, context: DecisionContext): Event[];
}

function targetOf({ act, approvalId, walletId, paymentId, refundId, amount, note }: ApprovalState): Target {
  const ofPayment = (decide: (state: PaymentState, context: DecisionContext) => PaymentEvent[]): Target => ({
    decider: paymentDecider as unknown as AnyDecider,
    id: paymentId,
    decide: (state, context) => decide(state as PaymentState, context),
  });
  switch (act) {
    case 'deposit':
      return {
        decider: walletDecider as unknown as AnyDecider,
        id: walletId,
        decide: (state) => deposit(state as WalletState, { walletId, amount: amount!, reference: note }),
      };
    case 'refund':
      // The approval's id is the refund's: a refund is one of its own, whoever grants it.
      return ofPayment((state, context) =>
        refundPayment(state, context, { paymentId, refundId: approvalId, amount, reason: note }),
      );
    case 'settlement':
      return ofPayment((state, context) => settlePayment(state, context, { paymentId, refundId, note }));
  }
}

export function approvalService({ aggregates, clock }: { aggregates: Aggregates; clock: Clock }) {
  return service(ApprovalServiceService, {
    async grantApproval({ approvalId }, call) {
      // What an approval is for never changes, so the streams of the append are known before it is decided.
      const { state: known } = await aggregates.load(approvalDecider, approvalId);
      if (known.approvalId === '') throw notFound('approval', approvalId);
      const target = targetOf(known);
      const { commandId, origin, signal, caller } = call;
      const { reply, streams } = await aggregates.executeUnit<State, Event, Approval, unknown>({
        parts: [
          { decider: approvalDecider as unknown as AnyDecider, id: approvalId },
          { decider: target.decider, id: target.id },
        ],
        decide: ([approval, of]) => [
          grantApproval(approval!.state as ApprovalState, { approvalId, by: caller.subject, now: approval!.now }),
          target.decide(of!.state, of!),
        ],
        reply: ([approval]) => approvalMessage(approval!.state as ApprovalState, approval!.version, clock()),
        replyCodec: Approval,
        ...{ commandId, origin, signal },
      });
      for (const { stream, version } of streams) call.wrote(stream, version);
      return reply;
    },
    rejectApproval: ({ approvalId, reason }, call) =>
      executeFor(call, aggregates, {
        decider: approvalDecider,
        id: approvalId,
        decide: (state, { now }) => rejectApproval(state, { approvalId, by: call.caller.subject, reason, now }),
        reply: ({ state, version }) => approvalMessage(state, version, clock()),
        replyCodec: Approval,
      }),
  });
}
