/** Whether an act needs a second person, and asking for one. docs/approvals.md */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { Approval } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError, refused } from '@caudal/kernel/errors.ts';
import { derivedId, derivedIdAt, type IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { approvalMessage } from '../approval-message.ts';
import { type Act, type ActInput, approvalDecider, requestApproval, throwIfEnded } from '../domain/approval.ts';

/** The acts that can need a second person, as the setting names them. */
export const fourEyesActs = ['deposits', 'refunds', 'settlements', 'withdrawals', 'transfers'] as const;
const wordOf: Record<Act, (typeof fourEyesActs)[number]> = {
  deposit: 'deposits',
  refund: 'refunds',
  settlement: 'settlements',
  withdrawal: 'withdrawals',
  transfer: 'transfers',
};

export interface FourEyes {
  /** Whether acts of this kind need a second person. */
  needs(act: Act): boolean;
  /**
   * Asks for an approval, and rejects with APPROVAL_PENDING. But if the call is a repeat of one that was done, resolves with its
   * answer: before the setting, by a process without it, or by a grant. `run`: runs the act's command with this decision.
   */
  ask<R>(
    call: Call,
    input: Partial<ActInput> & Pick<ActInput, 'act' | 'note'>,
    run: (refuse: () => never) => Promise<R>,
  ): Promise<R>;
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
    needs: (act) => needed.includes(wordOf[act]),
    async ask(call, given, run) {
      const { commandId, caller, origin, signal } = call;
      const done = commandId && (await ifDone(run));
      if (done) return done.answer;
      refuseApiKeys(caller);
      // The same for a repeat of the call.
      const key = commandId && derivedId(commandId.key, 'approval');
      const approvalId =
        key === undefined ? ids() : commandId?.madeAt === undefined ? key : derivedIdAt(commandId.madeAt, key);
      const none = { walletId: '', toWalletId: '', paymentId: '', refundId: '', amount: undefined };
      const { stream, version } = await aggregates.execute({
        decider: approvalDecider,
        id: approvalId,
        decide: (state, { now }) =>
          requestApproval(state, {
            ...{ ...none, ...given, approvalId, requestedBy: caller.subject, command: commandId },
            expireTime: new Date(now.getTime() + waitMs),
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

/**
 * The first answer to the command, if it was done. A command that is refused asks the log whether it was done before, so it is run with a
 * decision that refuses.
 */
export async function ifDone<R>(run: (refuse: () => never) => Promise<R>): Promise<{ answer: R } | undefined> {
  const notDone = refused('APPROVAL_PENDING', 'The act was not done.');
  try {
    const answer = await run(() => {
      throw notDone;
    });
    return { answer };
  } catch (error) {
    if (error === notDone) return undefined;
    throw error;
  }
}

/**
 * Throws PERMISSION_DENIED for an API key. Its owner is who its creator has named, so with one a person could be a second
 * caller.
 */
export function refuseApiKeys({ kind }: Caller): void {
  if (kind === 'key')
    throw new CaudalError(
      'PERMISSION_DENIED',
      'APPROVAL_NEEDS_TOKEN',
      'What needs a second person is asked for and granted with tokens of two persons, not with an API key.',
    );
}
