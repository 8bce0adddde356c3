/** Whether an act needs a second person, and asking for one. docs/approvals.md */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { Approval } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { derivedId, derivedIdAt, type IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { approvalMessage } from '../approval-message.ts';
import { type Act, type ActInput, approvalDecider, requestApproval, throwIfEnded } from '../domain/approval.ts';

/** The acts that can need a second person, as the setting names them. */
export const fourEyesActs = ['deposits', 'refunds', 'settlements'] as const;
const wordOf: Record<Act, (typeof fourEyesActs)[number]> = {
  deposit: 'deposits',
  refund: 'refunds',
  settlement: 'settlements',
};

export interface FourEyes {
  /** Asks for an approval if the act needs one, and then rejects with APPROVAL_PENDING; else returns. */
  check(call: Call, input: Partial<ActInput> & Pick<ActInput, 'act' | 'note'>): Promise<void>;
}

export interface FourEyesOptions {
  aggregates: Aggregates;
  ids: IdSource;
  clock: Clock;
  /** The acts that need a second person. */
  needed: readonly string[];
  /** How long an approval waits, in milliseconds. */
  waitMs: number;
}

export function fourEyes({ aggregates, ids, clock, needed, waitMs }: FourEyesOptions): FourEyes {
  return {
    async check(call, given) {
      if (!needed.includes(wordOf[given.act])) return;
      const { commandId, caller, origin, signal } = call;
      // The same for a repeat of the call.
      const key = commandId && derivedId(commandId.key, 'approval');
      const approvalId =
        key === undefined ? ids() : commandId?.madeAt === undefined ? key : derivedIdAt(commandId.madeAt, key);
      const input: ActInput = { walletId: '', paymentId: '', refundId: '', amount: undefined, ...given };
      const { stream, version } = await aggregates.execute({
        decider: approvalDecider,
        id: approvalId,
        decide: (state, { now }) =>
          requestApproval(state, {
            ...input,
            ...{ approvalId, requestedBy: caller.subject, expireTime: new Date(now.getTime() + waitMs) },
          }),
        reply: ({ state, version }) => approvalMessage(state, version, clock()),
        replyCodec: Approval,
        ...{ origin, signal },
      });
      call.wrote(stream, version);
      const { state } = await aggregates.load(approvalDecider, approvalId);
      throwIfEnded(state, clock());
      throw refused('APPROVAL_PENDING', `Another caller must grant this: POST /v1/approvals/${approvalId}:grant.`, {
        metadata: { approval: approvalId, expire_time: state.expireTime!.toISOString() },
      });
    },
  };
}
