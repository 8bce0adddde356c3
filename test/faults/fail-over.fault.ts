/**
 * A fail-over to an asynchronous standby that lacks the last events, while the whole system runs: see docs/fail-over.md. No command is
 * decided on what is lost, views that had it are found and built anew, and the logs say so.
 */
import { readFileSync } from 'node:fs';
import { wallet } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterEach, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { borrow, type Kit } from '../../scripts/kit.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { until } from '../e2e/wait.ts';
import { balanceOf, newCustomer, pounds } from '../e2e/world.ts';
import { describeNeeding } from './describe-needing.ts';

const origin = { actor: 'another process', causationId: '', correlationId: '', traceparent: '' };

async function ask(url: string, text: string): Promise<string[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text, rowMode: 'array' })).rows.map(([value]) => String(value));
  } finally {
    await client.end();
  }
}

/** The primary of a kit and its standby, through a proxy that leads to the one that serves. */
async function openPair({ variables }: Kit) {
  const [primary, standby] = [variables.POSTGRES_URL!, variables.POSTGRES_REPLICA_URL!];
  const proxy = await startTcpProxy(primary);
  let sender = 0;
  return {
    proxy,
    /** Waits until the standby has everything, then lets it get nothing more. */
    async part() {
      const [end] = await ask(primary, 'SELECT pg_current_wal_flush_lsn()');
      await until(
        'the standby has everything',
        () => ask(standby, `SELECT pg_last_wal_replay_lsn() >= '${end}'`),
        ([has]) => has === 'true',
      );
      [sender] = (await ask(primary, 'SELECT pid FROM pg_stat_replication')).map(Number) as [number];
      process.kill(sender, 'SIGSTOP');
    },
    async failOver() {
      const [file] = await ask(primary, "SELECT pg_read_file('postmaster.pid')");
      process.kill(Number.parseInt(file!, 10), 'SIGKILL');
      process.kill(sender, 'SIGKILL');
      proxy.refuse(true);
      proxy.cut();
      await ask(standby, 'SELECT pg_promote()');
      proxy.aim(standby);
      proxy.refuse(false);
    },
  };
}

describeNeeding({ servers: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'] }, 'a fail-over', () => {
  const shared = process.env.POSTGRES_URL;
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.toReversed()) await close();
    process.env.POSTGRES_URL = shared;
  }, 120_000);

  test('that loses events is noticed: nothing is decided on them, and views that had them are built anew', async () => {
    const kit = await borrow(['postgres', 'postgres-replica']);
    closing.push(kit.giveBack);
    const pair = await openPair(kit);
    closing.push(pair.proxy.close);
    // jest gives each file an environment of its own.
    process.env.POSTGRES_URL = pair.proxy.url;
    const system: System = await startSystem({ form: 'stores' });
    closing.push(system.stop);
    const { api } = system;
    const logOf = (text: string) => readFileSync(system.part('all').logFile, 'utf8').includes(text);

    const walletId = await newCustomer(api, 10_000);
    const stream = wallet.stream(walletId);
    await pair.part();
    const lost = { walletId, amount: pounds(100_000), reference: 'lost' };
    await api.call('Deposit', lost);
    const { token } = await api.call('Withdraw', { walletId, amount: pounds(1), reference: 'lost too' });
    expect(await balanceOf(api, walletId, token)).toBe(109_999);
    const transactions = async () =>
      (await api.call('ListTransactions', { walletId })).body.transactions.map(
        (each: { reference: string }) => each.reference,
      );
    await until('the history has what will be lost', transactions, (all) => all.includes('lost too'));

    await pair.failOver();
    // Another process reaches the version that this one remembers, with other events.
    const database = openDatabase({ url: system.stores!.databaseUrl, schema: 'payments' });
    closing.push(() => database.close());
    const log = openEventLog({ database, domain: 'payments' });
    closing.push(() => log.stop());
    const value = { amount: 5n, reference: 'other', balance: 10_005n, currency: 'GBP' };
    const others = [value, { ...value, balance: 10_010n }].map((each) =>
      newEvent({ entity: wallet, event: { $case: 'deposited', value: each }, origin, now: new Date() }),
    );
    expect(await log.append({ stream, expected: 2, events: others })).toMatchObject({ kind: 'appended', version: 4 });

    const refused = await until(
      'commands are answered again',
      () => api.send('Withdraw', { walletId, amount: pounds(50_000), reference: 'too much' }),
      ({ status }) => status < 500,
    );
    expect(refused).toMatchObject({ status: 400, body: { reason: 'INSUFFICIENT_FUNDS' } });
    expect((await api.insist('Withdraw', { walletId, amount: pounds(10), reference: 'real' })).body.balance).toEqual(
      pounds(10_000),
    );

    await until(
      'the views are right',
      transactions,
      (all) => !all.includes('lost') && all.includes('real'),
      60_000,
      500,
    );
    expect((await transactions()).sort()).toEqual(['first money', 'other', 'other', 'real']);
    await until(
      'the balance is right',
      () => balanceOf(api, walletId),
      (balance) => balance === 10_000,
      60_000,
      500,
    );
    expect(logOf('the log has gone on in another place')).toBe(true);
    expect(logOf('views have events that the log has lost')).toBe(true);
    // They are built anew one after the other; a balance is right as soon as a later event has told it.
    for (const view of ['wallet-balances', 'wallet-transactions'])
      await until(
        `${view} has nothing of what was lost`,
        () =>
          system.caudal('verify', view).then(
            () => 'right',
            (error: { stdout: string }) => error.stdout,
          ),
        (found) => found === 'right',
        60_000,
        500,
      );
    expect(await system.stores!.deadLetters()).toEqual([]);
  }, 240_000);
});
