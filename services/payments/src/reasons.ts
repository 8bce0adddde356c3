/** Reasons of payments and wallets, for the reference of errors. Some are also the `reason` of a failed payment. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  WALLET_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: "There is no such wallet; or it is another owner's, and the caller may use only its own.",
  },
  WALLET_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is a wallet of this id already. Use another id.' },
  WALLET_FROZEN: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The wallet is frozen. Of a transfer, `metadata.wallet` names the receiver if it is the one.',
  },
  RECEIVER_UNAVAILABLE: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The receiver of a transfer is missing, of another currency, frozen or full. Callers who may use all wallets get the reason instead.',
  },
  INSUFFICIENT_FUNDS: { code: 'FAILED_PRECONDITION', meaning: 'There is not enough money in the wallet.' },
  BALANCE_TOO_HIGH: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The wallet would hold more than 1,000,000,000,000,000 minor units.',
  },
  CURRENCY_MISMATCH: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The amount is of another currency than the wallet, or than the payment.',
  },
  TRANSFER_UNKNOWN: { code: 'FAILED_PRECONDITION', meaning: 'The wallet has not sent this transfer.' },
  PAYMENT_NOT_FOUND: {
    code: 'NOT_FOUND',
    meaning: "There is no such payment; or it is another owner's, and the caller may use only its own.",
  },
  PAYMENT_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is another payment of this id.' },
  PAYMENT_BARRED: { code: 'FAILED_PRECONDITION', meaning: 'The payment was undone before it was requested.' },
  PAYMENT_MISMATCH: { code: 'FAILED_PRECONDITION', meaning: 'An earlier request for this payment had another amount.' },
  PAYMENT_NOT_SUCCEEDED: { code: 'FAILED_PRECONDITION', meaning: 'No money was taken, so there is none to pay back.' },
  NOTHING_TO_REFUND: {
    code: 'FAILED_PRECONDITION',
    meaning: 'All of the payment is paid back, or on its way back; or it took no money, as an amount of 0.',
  },
  REFUND_TOO_LARGE: {
    code: 'FAILED_PRECONDITION',
    meaning: 'More would be refunded than is left of the payment; `metadata.left` says how much is.',
  },
  REFUND_TOO_OLD: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'A refund to a wallet was not done within 29 days, so the wallet may have forgotten it. Look into its transactions: settle it if it is there, retry it if it is not.',
  },
  TOO_MANY_REFUNDS: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The payment has 100 refunds by hand. Cancel or return its order, or deposit the rest into the wallet of the buyer.',
  },
  PAYMENT_NEEDS_NO_ATTENTION: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The payment, or the refund of it that is named, continues by itself or has ended: there is nothing to retry or settle.',
  },
  APPROVAL_PENDING: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The act needs a second person. It was not done: another caller grants the approval that the metadata names, and then it is. A repeat with the same request_id asks for the same approval, and gets the answer of the act once it is done.',
  },
  APPROVAL_ENDED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The approval was granted or rejected, or has expired; or its act was done without it, where none was needed. If it was granted, the act is done.',
  },
  APPROVAL_NEEDS_TOKEN: {
    code: 'PERMISSION_DENIED',
    meaning: 'An act that needs a second person is asked for and granted with tokens, not with an API key.',
  },
  APPROVER_IS_REQUESTER: {
    code: 'PERMISSION_DENIED',
    meaning: 'The caller has asked for the act, so another one must grant it.',
  },
  APPROVAL_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such approval.' },
  CARD_DECLINED: { code: 'FAILED_PRECONDITION', meaning: 'The card was declined. Use another one.' },
  GATEWAY_UNAVAILABLE: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The card gateway gave no answer for so long that the payment was given up. No money is kept.',
  },
  GATEWAY_OUTCOME_UNKNOWN: {
    code: 'DEADLINE_EXCEEDED',
    meaning: 'The card gateway gave no usable answer. The payment continues by itself.',
  },
  CIRCUIT_OPEN: {
    code: 'UNAVAILABLE',
    meaning: 'The card gateway has failed too often, so it is not called for a while.',
  },
} satisfies Record<string, Reason>;
