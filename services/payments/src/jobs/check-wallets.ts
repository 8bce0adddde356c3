/**
 * Every night: compares balances of wallets, as customers read them, with the log. It takes a sample from all of the
 * log: a wallet with more movements is more likely in it. `caudal verify wallet-balances` compares all wallets.
 */
import type { ContextJob, JobTools } from '@caudal/context/context.ts';
import { wallet } from '@caudal/contract/entities.ts';
import { endOfLog } from '@caudal/eventlog/end-of-log.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { walletDecider } from '../domain/wallet.ts';
import { walletBalances } from '../projections/wallet-balances.ts';

/** At most 1,000 wallets are compared: 20 places of the log, 50 events at each. */
const PLACES = 20;
const EVENTS_A_PLACE = 50;
const AT_ONCE = 8;
/** A view may lag for this long. */
const SETTLED_MS = 10 * 60_000;
const NAMED_AT_MOST = 10;
const LOGGED_AT_MOST = 100;

const log = logger('check-wallets');
const wrongViews = counter(
  'payments_wallet_views_wrong_total',
  'Balances of wallets that the nightly sample found to differ from the log',
);

export const checkWallets: ContextJob = {
  name: 'check-wallets',
  description: 'Compares a sample of wallet balances, as customers read them, with the log.',
  schedule: '20 3 * * *',
  timeoutMs: 10 * 60_000,
  async run(tools, { signal, now }) {
    const wallets = await sample(tools.log, signal);
    const wrong: string[] = [];
    await forEachConcurrent(wallets, AT_ONCE, async (walletId) => {
      if (signal.aborted) return;
      const difference = await differenceOf(tools, walletId, now);
      if (difference === undefined) return;
      wrong.push(walletId);
      if (wrong.length <= LOGGED_AT_MOST)
        log.error({ walletId, difference }, 'the view of a wallet differs from the log');
    });
    if (signal.aborted) return;
    log.info({ compared: wallets.length, wrong: wrong.length }, 'wallet balances were compared with the log');
    if (wrong.length === 0) return;
    wrongViews.add(wrong.length);
    const more = wrong.length > NAMED_AT_MOST ? ` and ${wrong.length - NAMED_AT_MOST} more` : '';
    throw new Error(
      `${wrong.length} of ${wallets.length} wallets differ from the log: ${wrong.slice(0, NAMED_AT_MOST).join(', ')}${more}. ` +
        '"caudal verify wallet-balances" compares all, "caudal rebuild wallet-balances" repairs them.',
    );
  },
};

/** The wallets of events at random places, one place in each part of the log. */
async function sample(events: LogReader, signal: AbortSignal): Promise<string[]> {
  const head = await endOfLog(events);
  const found = new Set<string>();
  for (let place = 0; place < PLACES && !signal.aborted; place++) {
    const after = Math.floor(((place + Math.random()) / PLACES) * Math.max(0, head - EVENTS_A_PLACE + 1));
    const read = await events.readLog(after, { limit: EVENTS_A_PLACE });
    const prefix = wallet.stream('');
    for (const { stream } of read.events) if (stream.startsWith(prefix)) found.add(stream.slice(prefix.length));
  }
  return [...found];
}

/** How the wallet's view differs from the log; undefined if it agrees, or may still be catching up. */
async function differenceOf(
  { aggregates, views }: Pick<JobTools<never>, 'aggregates' | 'views'>,
  walletId: string,
  now: Date,
): Promise<string | undefined> {
  // Read the view first: so it can't contain more events than the state that it is compared with.
  const stored = await views(walletBalances).get(walletId);
  const { state, version } = await aggregates.load(walletDecider, walletId);
  const seen = stored?.streams[wallet.stream(walletId)] ?? 0;
  if (seen !== version) {
    const settled = now.getTime() - (state.updateTime?.getTime() ?? 0) > SETTLED_MS;
    return settled ? `the view is at version ${seen}, the log at ${version}` : undefined;
  }
  const { customerId, frozen, balance } = stored!.view;
  const differs = [
    ['balance', balance?.minorUnits, state.balance],
    ['currency', balance?.currency, state.currency],
    ['customer', customerId, state.customerId],
    ['frozen', frozen, state.frozen],
  ] as const;
  const texts = differs.filter(([, view, truth]) => view !== truth).map(([of, a, b]) => `${of} ${a} instead of ${b}`);
  return texts.length > 0 ? texts.join(', ') : undefined;
}
