/** Grants and rejects acts that wait for a second person: caudal.payments.v1.ApprovalService. */
import type { Aggregates, Decided, Decider, PartState } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Approval, ApprovalServiceService } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { Payment } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { Wallet } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import type { ReplyCodec } from '@caudal/contract/personal.ts';
import { notFound, refused } from '@caudal/kernel/errors.ts';
import { contentHash, derivedId, type IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { approvalMessage } from '../approval-message.ts';
import {
  type ApprovalEvent,
  type ApprovalState,
  approvalDecider,
  grantApproval,
  rejectApproval,
  throwIfEnded,
} from '../domain/approval.ts';
import type { WalletContext } from '../domain/claims.ts';
import {
  type PaymentEvent,
  type PaymentState,
  paymentDecider,
  refundPayment,
  settlePayment,
} from '../domain/payment.ts';
import { type WalletEvent, type WalletState, walletDecider } from '../domain/wallet.ts';
import { deposit, withdraw } from '../domain/wallet-decisions.ts';
import { type TransferParty, transferAtOnce } from '../domain/wallet-transfers.ts';
import { paymentMessage } from '../payment-message.ts';
import { walletMessage } from '../wallet-message.ts';
import { ifDone, refuseApiKeys } from './four-eyes.ts';
import { newIdOf, refundIdOf } from './ids-of-calls.ts';

type State = ApprovalState | WalletState | PaymentState;
type Event = ApprovalEvent | WalletEvent | PaymentEvent;
/** Of an approval, or of what its act changes: a unit has streams of both. */
type AnyDecider = Decider<State, Event>;

/** The streams that an act changes, how, and how the call that has asked for it would be answered. */
interface Target {
  parts: { decider: AnyDecider; id: string }[];
  decide(parts: PartState<State, unknown>[]): Event[][];
  reply(first: Decided<State>): Wallet | Payment;
  replyCodec: ReplyCodec<Wallet | Payment>;
}

function ofWallets(walletIds: string[], decide: (parts: TransferParty[]) => WalletEvent[][]): Target {
  return {
    parts: walletIds.map((id) => ({ decider: walletDecider as unknown as AnyDecider, id })),
    decide: (parts) => decide(parts as (WalletContext & { state: WalletState })[]),
    reply: ({ state, version }) => walletMessage(state as WalletState, version),
    replyCodec: Wallet as ReplyCodec<Wallet | Payment>,
  };
}

function ofPayment(paymentId: string, decide: (part: PartState<PaymentState, unknown>) => PaymentEvent[]): Target {
  return {
    parts: [{ decider: paymentDecider as unknown as AnyDecider, id: paymentId }],
    decide: ([part]) => [decide(part as PartState<PaymentState, unknown>)],
    reply: ({ state, version }) => paymentMessage(paymentId, state as PaymentState, version),
    replyCodec: Payment as ReplyCodec<Wallet | Payment>,
  };
}

function targetOf(approval: ApprovalState): Target {
  const { act, approvalId, walletId, toWalletId, paymentId, refundId, amount: given, note, command } = approval;
  const amount = given!;
  switch (act) {
    case 'deposit':
      return ofWallets([walletId], ([to]) => [deposit(to!.state, { walletId, amount, reference: note })]);
    case 'withdrawal':
      return ofWallets([walletId], ([from]) => [withdraw(from!.state, { walletId, amount, reference: note })]);
    case 'transfer': {
      const transferId = newIdOf(command, 'transfer') ?? approvalId;
      const transfer = { transferId, fromWalletId: walletId, toWalletId, amount, reference: note };
      return ofWallets([walletId, toWalletId], ([from, to]) => transferAtOnce(from!, to!, transfer));
    }
    case 'refund': {
      const input = { paymentId, refundId: refundIdOf(command) ?? approvalId, amount: given, reason: note };
      return ofPayment(paymentId, (part) => refundPayment(part.state, part, input));
    }
    case 'settlement':
      return ofPayment(paymentId, (part) => settlePayment(part.state, part, { paymentId, refundId, note }));
  }
}

export interface ApprovalDependencies {
  aggregates: Aggregates;
  ids: IdSource;
  clock: Clock;
}

export function approvalService({ aggregates, ids, clock }: ApprovalDependencies) {
  return service(ApprovalServiceService, {
    async grantApproval({ approvalId }, call) {
      refuseApiKeys(call.caller);
      // What an approval is for never changes, so the streams of the append are known before it is decided.
      const { state: known } = await aggregates.load(approvalDecider, approvalId);
      if (known.approvalId === '') throw notFound('approval', approvalId);
      const target = targetOf(known);
      const commandKey = call.commandId?.key ?? ids();
      const granted = await answerOf(approvalId, commandKey, call);
      if (!granted) await doOnce(known, target, commandKey, call);
      const answer = granted ?? (await answerOf(approvalId, commandKey, call));
      if (!answer) await refuseDone(approvalId);
      for (const { decider, id } of target.parts)
        call.wrote(decider.entity.stream(id), (await aggregates.load(decider, id)).version);
      return answer!.answer;
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

  /**
   * The grant and the act, in one append. It has the identity of the call that has asked: so the log does it once, whether by this
   * or by a repeat of that call, in a process that asks nobody or in one of a version that knows no approvals. Such a repeat gets the
   * answer that is stored here.
   */
  async function doOnce(known: ApprovalState, target: Target, commandKey: string, call: Call): Promise<void> {
    const { approvalId, command } = known;
    const { origin, signal, caller } = call;
    await aggregates.executeUnit<State, Event, Wallet | Payment, unknown>({
      // The log finds the command by any stream, and names the first in the answer to a repeat.
      parts: [...target.parts, { decider: approvalDecider as unknown as AnyDecider, id: approvalId }],
      decide(parts) {
        const approval = parts.at(-1)!;
        const by = { approvalId, by: caller.subject, commandKey, now: approval.now };
        const granted = grantApproval(approval.state as ApprovalState, by);
        return [...target.decide(parts.slice(0, -1)), granted];
      },
      reply: ([first]) => target.reply(first!),
      replyCodec: target.replyCodec,
      commandId: command ?? { key: derivedId(approvalId, 'act'), hash: contentHash(Buffer.from(approvalId)) },
      ...{ origin, signal },
    });
  }

  /** The answer of the grant with this key, if it has landed. It is stored for repeats. */
  function answerOf(approvalId: string, commandKey: string, call: Call): Promise<{ answer: Approval } | undefined> {
    return ifDone((refuse) =>
      executeFor({ ...call, forwardable: false }, aggregates, {
        decider: approvalDecider,
        id: approvalId,
        decide: ({ grantKey }) => (grantKey === commandKey ? [] : refuse()),
        reply: ({ state, version }) => approvalMessage(state, version, clock()),
        replyCodec: Approval,
      }),
    );
  }

  /** The act was done, and not by this grant. */
  async function refuseDone(approvalId: string): Promise<never> {
    throwIfEnded((await aggregates.load(approvalDecider, approvalId)).state, clock());
    const message = 'The act was done without this approval: its call was repeated where no second person was needed.';
    throw refused('APPROVAL_ENDED', message, { metadata: { approval: approvalId } });
  }
}
