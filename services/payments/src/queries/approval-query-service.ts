/** Reads approvals: caudal.payments.v1.ApprovalQueryService. One is read from the log itself, since it is short. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import { placeTokens } from '@caudal/context/place-token.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import {
  type Approval,
  ApprovalQueryServiceService,
  ApprovalStatus,
} from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Condition } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { approvalMessage } from '../approval-message.ts';
import { approvalDecider } from '../domain/approval.ts';

const { APPROVAL_STATUS_PENDING: pending, APPROVAL_STATUS_EXPIRED: expired } = ApprovalStatus;

/** When an approval ends never changes. */
const orders: ListOrders = {
  expire_time: [{ key: 'expire_time' }],
  'expire_time desc': [{ key: 'expire_time', descending: true }],
};

export interface ApprovalQueryDependencies {
  aggregates: Pick<Aggregates, 'load'>;
  views: ViewReader<Approval>;
  clock: Clock;
}

export function approvalQueryService({ aggregates, views, clock }: ApprovalQueryDependencies) {
  return service(ApprovalQueryServiceService, {
    async getApproval({ approvalId }) {
      const { state, version } = await aggregates.load(approvalDecider, approvalId);
      if (version === 0) throw notFound('approval', approvalId);
      return approvalMessage(state, version, clock());
    },

    async listApprovals({ status: given, orderBy, pageSize, pageToken }, call) {
      const now = clock();
      const status = given || pending;
      const { order, orderBy: by } = listOrder(orderBy, orders);
      // All pages of a walk have the time of the first: else the bound between what waits and what has expired would move.
      const tokens = placeTokens('approvals', { status, order });
      const [since, place] = pageToken === '' ? [now.toISOString()] : (JSON.parse(tokens.open(pageToken)) as string[]);
      const page = await views.find(
        {
          where: conditions(status, new Date(since!)),
          ...{ order, orderBy: by, limit: pageLimit(pageSize), pageToken: place },
        },
        call,
      );
      return {
        approvals: page.views.map(({ view }) => ({ ...view, status: statusAt(view, now) })),
        nextPageToken: page.nextPageToken && tokens.seal(JSON.stringify([since, page.nextPageToken])),
      };
    },
  });
}

function conditions(status: ApprovalStatus, since: Date): Condition[] {
  if (status !== pending && status !== expired) return [{ key: 'status', equals: String(status) }];
  const later = new Date(since.getTime() + 1);
  const bound = status === pending ? { atLeast: later } : { atMost: since };
  return [
    { key: 'status', equals: String(pending) },
    { key: 'expire_time', ...bound },
  ];
}

function statusAt({ status, expireTime }: Approval, now: Date): ApprovalStatus {
  return status === pending && expireTime && expireTime <= now ? expired : status;
}
