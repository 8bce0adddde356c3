/** Money between wallets, each transfer from end to end. */
import {
  CreateWalletRequest,
  DepositRequest,
  TransferRequest,
  Wallet,
  WalletServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { openCrudWallets } from '../crud/wallets.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { closedLoop, takeTurns } from '../load.ts';
import { startRuntime } from '../runtime.ts';
import type { Bench } from '../types.ts';

const bench = 'transfers';
const clients = 64;
const connections = 16;
const wallets = 1_000;
const plenty = 1_000_000_000;
const walletOf = (n: number) => `W-${n}`;
const hot = 'W-hot';

/** From one wallet to another, each time other ones. */
function pair(client: number, turn: number): { from: string; to: string } {
  const n = client * 7_919 + turn * 104_729;
  return { from: walletOf(n % wallets), to: walletOf((n + 1 + (turn % (wallets - 1))) % wallets) };
}

/** From one of the wallets to the hot one. */
const toHot = (client: number, turn: number) => ({ ...pair(client, turn), to: hot });

export const transfers: Bench = {
  name: bench,
  title: 'Transfers between wallets',
  compares: `${clients} transfers in flight between ${wallets.toLocaleString('en')} wallets, through gRPC, each under a request id; and from these wallets onto one. Compared with plain SQL double entry on the same server (test/bench/crud/wallets.ts): a transaction locks the two rows in order, moves the money and writes two entries, with ${connections} connections, called in the client's process, without gRPC and without recognising repeats. Client, service and PostgreSQL share the cores.`,
  needs: ['postgres'],

  async run({ quick, say }) {
    const runtime = await startRuntime({ CAUDAL_ROLES: 'command', CAUDAL_CONTEXTS: 'payments' });
    const { createWallet, deposit, transfer } = WalletServiceService;
    const create = runtime.method(createWallet.path, CreateWalletRequest, Wallet);
    const fill = runtime.method(deposit.path, DepositRequest, Wallet);
    const service = runtime.method(transfer.path, TransferRequest, Wallet);
    const database = openDatabase({ url: runtime.databaseUrl, schema: 'public', poolSize: connections });
    const seconds = quick ? 1 : 4;
    try {
      const crud = await openCrudWallets(database);
      const names = [...Array.from({ length: wallets }, (_, n) => walletOf(n)), hot];
      await crud.open(names, plenty);
      for (let first = 0; first < names.length; first += clients)
        await Promise.all(
          names.slice(first, first + clients).map(async (walletId) => {
            await create.call({ requestId: '', walletId, customerId: 'c', currency: 'GBP' });
            const amount = { minorUnits: BigInt(plenty), currency: 'GBP' };
            await fill.call({ requestId: '', walletId, amount, reference: '' });
          }),
        );
      const load = (work: (client: number, turn: number) => Promise<unknown>) => () =>
        closedLoop({ clients, seconds, work });
      const amount = { minorUnits: 1n, currency: 'GBP' };
      const caudal = (choose: typeof pair) =>
        load((client, turn) => {
          const { from, to } = choose(client, turn);
          return service.call({ requestId: newId(), walletId: from, toWalletId: to, amount, reference: '' });
        });
      const sql = (choose: typeof pair) =>
        load((client, turn) => crud.transfer({ transferId: newId(), amount: 1, ...choose(client, turn) }));
      const measured = await takeTurns(
        { grpc: caudal(pair), sql: sql(pair), 'grpc.hot': caudal(toHot), 'sql.hot': sql(toHot) },
        { rounds: quick ? 1 : 5, say },
      );
      const all = (name: keyof typeof measured, of: 'rate' | 'p50' | 'p99') => measured[name].map((each) => each[of]);
      const ratio = (metric: string, of: keyof typeof measured, by: keyof typeof measured, value: number) =>
        ratioOf({ bench, metric, goal: { kind: 'atLeast', value } }, all(of, 'rate'), all(by, 'rate'));
      return [
        ...(['grpc', 'sql', 'grpc.hot', 'sql.hot'] as const).flatMap((name) => [
          figureOf({ bench, metric: name, unit: '/s' }, all(name, 'rate')),
          figureOf({ bench, metric: `${name}.p50`, unit: 'ms' }, all(name, 'p50')),
          figureOf({ bench, metric: `${name}.p99`, unit: 'ms' }, all(name, 'p99')),
        ]),
        ratio('vs-sql', 'grpc', 'sql', 1),
        ratio('vs-sql.hot', 'grpc.hot', 'sql.hot', 3),
      ];
    } finally {
      for (const { close } of [create, fill, service]) close();
      await database.close();
      await runtime.stop();
    }
  },
};
