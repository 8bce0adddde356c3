/** Reads approvals from the log itself: caudal.payments.v1.ApprovalQueryService. They are short, and few. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { ApprovalQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { service } from '@caudal/rpc/types.ts';
import { approvalMessage } from '../approval-message.ts';
import { approvalDecider } from '../domain/approval.ts';

export function approvalQueryService({ aggregates, clock }: { aggregates: Pick<Aggregates, 'load'>; clock: Clock }) {
  return service(ApprovalQueryServiceService, {
    async getApproval({ approvalId }) {
      const { state, version } = await aggregates.load(approvalDecider, approvalId);
      if (version === 0) throw notFound('approval', approvalId);
      return approvalMessage(state, version, clock());
    },
  });
}
