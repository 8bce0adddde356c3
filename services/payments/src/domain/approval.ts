/**
 * An approval: an act that moves money by hand and waits for a second person. Granting it and the act itself are one append, so the act
 * is done once or not at all. It ends by time without an event: what is too old can't be granted.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { approval, type EventOf } from '@caudal/contract/entities.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError, notFound, refused } from '@caudal/kernel/errors.ts';

export type ApprovalEvent = EventOf<typeof approval>;

/** By the numbers of caudal.payments.v1.ApprovalAct. */
export const acts = ['deposit', 'refund', 'settlement', 'withdrawal', 'transfer'] as const;
export type Act = (typeof acts)[number];

/** What is asked for. */
export interface ActInput {
  act: Act;
  walletId: string;
  /** The receiver of a transfer. */
  toWalletId: string;
  paymentId: string;
  refundId: string;
  amount: Money | undefined;
  /** The reference of a deposit, withdrawal or transfer, the reason of a refund, the note of a settlement. */
  note: string;
}

export interface ApprovalState extends ActInput {
  /** Empty until it is requested. */
  approvalId: string;
  status: 'pending' | 'granted' | 'rejected';
  requestedBy: string;
  /** The command of the call that has asked, if it can be repeated. The act is done under it, whoever does it. */
  command: CommandId | undefined;
  decidedBy: string;
  /** The key of the command that has granted it; empty before. */
  grantKey: string;
  reason: string;
  createTime: Date | undefined;
  expireTime: Date | undefined;
}

export const approvalDecider: Decider<ApprovalState, ApprovalEvent> = {
  entity: approval,
  initial: {
    ...{
      approvalId: '',
      status: 'pending',
      act: 'deposit',
      walletId: '',
      toWalletId: '',
      paymentId: '',
      refundId: '',
      amount: undefined,
    },
    ...{ note: '', requestedBy: '', command: undefined, decidedBy: '', grantKey: '', reason: '' },
    ...{ createTime: undefined, expireTime: undefined },
  },
  evolve(state, event, at) {
    switch (event.$case) {
      case 'requested': {
        const { act, command, amount, ...value } = event.value;
        const known = command && {
          ...command,
          madeAt: command.madeAt === undefined ? undefined : Number(command.madeAt),
        };
        return { ...state, ...value, act: acts[act - 1] ?? 'deposit', amount, command: known, createTime: at };
      }
      case 'granted':
        return { ...state, status: 'granted', decidedBy: event.value.grantedBy, grantKey: event.value.commandKey };
      case 'rejected':
        return { ...state, status: 'rejected', decidedBy: event.value.rejectedBy, reason: event.value.reason };
      default:
        return state;
    }
  },
};

/** Whether nobody can decide it any more, since its time is over. */
export const isExpired = ({ status, expireTime }: ApprovalState, now: Date): boolean =>
  status === 'pending' && expireTime !== undefined && expireTime <= now;

export interface RequestInput extends ActInput {
  approvalId: string;
  requestedBy: string;
  command: CommandId | undefined;
  expireTime: Date;
}

/** Asks for an approval. A repeat with the same content changes nothing. Refused: INVALID_ARGUMENT REQUEST_ID_REUSED. */
export function requestApproval(state: ApprovalState, input: RequestInput): ApprovalEvent[] {
  const { act, command, ...value } = input;
  if (state.approvalId === '') {
    const { key, hash, madeAt } = command ?? {};
    const stored = key && { key, hash: Buffer.from(hash!), madeAt: madeAt === undefined ? undefined : BigInt(madeAt) };
    return [{ $case: 'requested', value: { ...value, act: acts.indexOf(act) + 1, command: stored || undefined } }];
  }
  const same =
    act === state.act &&
    (['walletId', 'toWalletId', 'paymentId', 'refundId', 'note', 'requestedBy'] as const).every(
      (name) => input[name] === state[name],
    ) &&
    input.amount?.minorUnits === state.amount?.minorUnits &&
    input.amount?.currency === state.amount?.currency;
  if (same) return [];
  throw new CaudalError(
    'INVALID_ARGUMENT',
    'REQUEST_ID_REUSED',
    'This request_id belongs to another request: make a new one.',
  );
}

/** Grants it. Refused: NOT_FOUND; PERMISSION_DENIED APPROVER_IS_REQUESTER; FAILED_PRECONDITION APPROVAL_ENDED. */
export function grantApproval(
  state: ApprovalState,
  { approvalId, by, commandKey, now }: { approvalId: string; by: string; commandKey: string; now: Date },
): ApprovalEvent[] {
  mustBePending(state, approvalId, now);
  if (by === state.requestedBy)
    throw new CaudalError(
      'PERMISSION_DENIED',
      'APPROVER_IS_REQUESTER',
      "Who has asked for an act can't grant it: another caller must.",
    );
  return [{ $case: 'granted', value: { grantedBy: by, commandKey } }];
}

/** Rejects it. Refused: NOT_FOUND; FAILED_PRECONDITION APPROVAL_ENDED. */
export function rejectApproval(
  state: ApprovalState,
  { approvalId, by, reason, now }: { approvalId: string; by: string; reason: string; now: Date },
): ApprovalEvent[] {
  mustBePending(state, approvalId, now);
  return [{ $case: 'rejected', value: { rejectedBy: by, reason } }];
}

function mustBePending(state: ApprovalState, approvalId: string, now: Date): void {
  if (state.approvalId === '') throw notFound('approval', approvalId);
  throwIfEnded(state, now);
}

/** Throws FAILED_PRECONDITION APPROVAL_ENDED if it was decided, or has expired. */
export function throwIfEnded(state: ApprovalState, now: Date): void {
  if (state.status === 'pending' && !isExpired(state, now)) return;
  const how = state.status === 'pending' ? 'has expired' : `was ${state.status}`;
  throw refused('APPROVAL_ENDED', `The approval ${how}.`, { metadata: { approval: state.approvalId } });
}
