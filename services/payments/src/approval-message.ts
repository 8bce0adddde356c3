/** An approval as the API shows it. */
import { commandEtag } from '@caudal/context/etag.ts';
import { type Approval, ApprovalAct, ApprovalStatus } from '@caudal/contract/gen/caudal/payments/v1/approvals.ts';
import { type ApprovalState, acts, isExpired } from './domain/approval.ts';

const statuses = {
  pending: ApprovalStatus.APPROVAL_STATUS_PENDING,
  granted: ApprovalStatus.APPROVAL_STATUS_GRANTED,
  rejected: ApprovalStatus.APPROVAL_STATUS_REJECTED,
};
const actNumbers = [
  ApprovalAct.APPROVAL_ACT_DEPOSIT,
  ApprovalAct.APPROVAL_ACT_REFUND,
  ApprovalAct.APPROVAL_ACT_SETTLEMENT,
  ApprovalAct.APPROVAL_ACT_WITHDRAWAL,
  ApprovalAct.APPROVAL_ACT_TRANSFER,
] as const;

export function approvalMessage(state: ApprovalState, version: number, now: Date): Approval {
  const { status, act, command: _, grantKey: __, ...fields } = state;
  return {
    ...fields,
    status: isExpired(state, now) ? ApprovalStatus.APPROVAL_STATUS_EXPIRED : statuses[status],
    act: actNumbers[acts.indexOf(act)]!,
    etag: commandEtag(version),
  };
}
