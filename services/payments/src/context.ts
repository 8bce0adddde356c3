/** The payments context: its settings, services, projections, jobs and sagas. */
import { setting } from '@caudal/config/setting.ts';
import { defineContext } from '@caudal/context/context.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { createSagaHandler } from '@caudal/sagas/saga-handler.ts';
import { approvalService } from './commands/approval-service.ts';
import { fourEyes, fourEyesActs } from './commands/four-eyes.ts';
import { paymentService } from './commands/payment-service.ts';
import { walletService } from './commands/wallet-service.ts';
import { approvalDecider } from './domain/approval.ts';
import { paymentDecider } from './domain/payment.ts';
import { walletDecider } from './domain/wallet.ts';
import { chooseGateway } from './gateway/choose-gateway.ts';
import { checkWallets } from './jobs/check-wallets.ts';
import { approvals } from './projections/approvals.ts';
import { paymentStatus } from './projections/payment-status.ts';
import { walletBalances } from './projections/wallet-balances.ts';
import { walletTransactions } from './projections/wallet-transactions.ts';
import { approvalQueryService } from './queries/approval-query-service.ts';
import { paymentQueryService } from './queries/payment-query-service.ts';
import { walletQueryService } from './queries/wallet-query-service.ts';
import { type PaymentMethod, paymentSaga } from './sagas/payment-saga.ts';
import { transfers } from './sagas/transfers.ts';

export const payments = defineContext({
  name: 'payments',
  settings: {
    PAYMENTS_GATEWAY_URL: setting.url({
      description:
        'The URL of the card gateway. With a DATABASE_URL, the saga role of payments needs it, or PAYMENTS_GATEWAY=sandbox.',
      optional: true,
      protocols: ['http', 'https'],
    }),
    PAYMENTS_GATEWAY: setting.oneOf(['sandbox'], {
      description:
        'Instead of PAYMENTS_GATEWAY_URL: a sandbox inside the process takes any card but tok_declined, and no money moves. The default with the embedded PostgreSQL.',
      optional: true,
    }),
    PAYMENTS_GATEWAY_KEY: setting.secret({ description: "The card gateway's key.", optional: true }),
    PAYMENTS_GATEWAY_TIMEOUT: setting.duration({
      description: 'How long the card gateway may take to answer.',
      default: '5s',
      min: 10,
      // A step of a saga is cut off after 15 s: with a longer call it would never record the outcome.
      max: 10_000,
    }),
    PAYMENTS_FOUR_EYES: setting.list({
      description:
        'The acts that a second person must grant before they are done, with commas between them: deposits, refunds by hand, settlements; withdrawals and transfers from wallets of others. None if not set. Set it alike in all processes.',
      optional: true,
      allowed: fourEyesActs,
    }),
    PAYMENTS_FOUR_EYES_WAIT: setting.duration({
      description: 'How long such an act waits for the second person.',
      default: '24h',
      min: 60_000,
      max: 7 * 24 * 3_600_000,
    }),
  },
  permissions: ['customers.customers.read:any'],
  deciders: [paymentDecider, walletDecider, approvalDecider],
  commands({ aggregates, client, ids, clock, settings }) {
    const { PAYMENTS_FOUR_EYES: needed = [], PAYMENTS_FOUR_EYES_WAIT: waitMs } = settings;
    const eyes = fourEyes({ aggregates, ids, clock, needed, waitMs });
    return [
      paymentService({ aggregates, ids, eyes }),
      walletService({
        ...{ aggregates, ids, eyes, shareLog: () => true },
        customers: client(CustomerQueryServiceService),
      }),
      approvalService({ aggregates, ids, clock }),
    ];
  },
  queries: ({ views, aggregates, clock }) => [
    approvalQueryService({ aggregates, views: views(approvals), clock }),
    paymentQueryService({ payments: views(paymentStatus) }),
    walletQueryService({ wallets: views(walletBalances), transactions: views(walletTransactions), aggregates }),
  ],
  projections: [
    { projection: walletBalances, store: 'documents', cache: { strategy: 'cache-aside', ms: 300_000 } },
    { projection: walletTransactions, store: 'documents' },
    { projection: paymentStatus, store: 'documents', cache: { strategy: 'write-through', ms: 60_000 } },
    { projection: approvals, store: 'documents' },
  ],
  jobs: [checkWallets],
  async sagas({ aggregates, database, clock, signal, settings, development }) {
    const gateway = await chooseGateway({
      url: settings.PAYMENTS_GATEWAY_URL,
      sandbox: settings.PAYMENTS_GATEWAY === 'sandbox',
      development,
      apiKey: settings.PAYMENTS_GATEWAY_KEY,
      timeoutMs: settings.PAYMENTS_GATEWAY_TIMEOUT,
      signal,
    });
    const payment = (method: PaymentMethod) =>
      createSagaHandler({ saga: paymentSaga(method, { aggregates, gateway }), aggregates, database, clock, signal });
    return [payment('wallet'), payment('card'), transfers({ aggregates, database, clock, signal })];
  },
});
