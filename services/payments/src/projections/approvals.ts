/** Approvals by status. That one has expired is no event: the query knows it by the time. */
import { approval } from '@caudal/contract/entities.ts';
import { Approval, ApprovalAct, ApprovalStatus } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import type { ApprovalEvent } from '../domain/approval.ts';

export const approvals: Projection<Approval> = {
  name: 'approvals',
  version: 1,
  codec: Approval,
  follows: [
    on<Approval, ApprovalEvent>(approval, {
      view: ({ id }) => id,
      evolve(view, { event, at, version }) {
        const etag = String(version);
        if (event.$case === 'requested') {
          const { command: _, act: number, ...asked } = event.value;
          // A later version may have more acts.
          const act = Object.values(ApprovalAct).find((known) => known === number);
          const status = ApprovalStatus.APPROVAL_STATUS_PENDING;
          return Approval.fromPartial({ ...asked, act, status, createTime: at, etag });
        }
        if (!view) return ignored;
        switch (event.$case) {
          case 'granted': {
            const status = ApprovalStatus.APPROVAL_STATUS_GRANTED;
            return { ...view, status, decidedBy: event.value.grantedBy, etag };
          }
          case 'rejected': {
            const { rejectedBy, reason } = event.value;
            return { ...view, status: ApprovalStatus.APPROVAL_STATUS_REJECTED, decidedBy: rejectedBy, reason, etag };
          }
          default:
            return ignoreUnknown(event);
        }
      },
    }),
  ],
  keys: {
    status: { type: 'keyword', of: ({ status }) => String(status) },
    expire_time: { type: 'timestamp', of: ({ expireTime }) => expireTime ?? null },
  },
  indexes: [['status', 'expire_time']],
};
