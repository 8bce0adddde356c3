/** The behaviour of personal data: sealed from the first text on, and gone once its customer is erased. */
import { joinEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { describe, expect } from '@jest/globals';
import { Client } from 'pg';
import { openLogs } from './logs.ts';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newProduct, orderConfirmed, orderOf, pounds, unique } from './world.ts';

export function describeErasure(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;

  /** Where the database has the text in plain: tables and columns. */
  async function whereIs(text: string): Promise<string[]> {
    const { stores, dataDirectory } = system();
    const url = stores?.databaseUrl ?? (await joinEmbeddedPostgres(dataDirectory))!.url;
    const sql = new Client({ connectionString: url });
    await sql.connect();
    try {
      const { rows } = await sql.query(`SELECT c.table_schema, c.table_name, c.column_name, c.data_type
        FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('pg_catalog', 'information_schema')
          AND c.data_type IN ('bytea', 'text', 'jsonb', 'json', 'ARRAY')`);
      const found: string[] = [];
      for (const { table_schema: schema, table_name: table, column_name: column, data_type: type } of rows) {
        const has =
          type === 'bytea'
            ? `position(convert_to($1, 'UTF8') IN "${column}") > 0`
            : `position($1 IN "${column}"::text) > 0`;
        const { rowCount } = await sql.query(`SELECT 1 FROM "${schema}"."${table}" WHERE ${has} LIMIT 1`, [text]);
        if (rowCount) found.push(`${schema}.${table}.${column}`);
      }
      return found;
    } finally {
      await sql.end();
    }
  }

  describe('personal data', () => {
    it('is nowhere in plain, and gone for good once its customer is erased; what was paid stays', async () => {
      const customerId = unique('eve');
      const [displayName, email] = [`Evelyn ${unique('Name')}`, `${unique('address')}@example.com`];
      const register = { requestId: newId(), customerId, displayName, email, country: 'UK' };
      const registered = await api().call('RegisterCustomer', register);
      expect(registered.body).toMatchObject({ displayName, email });
      await api().call('MarkEmailVerified', { customerId, email });
      await api().call('CreateWallet', { walletId: customerId, customerId, currency: 'GBP' });
      await api().call('Deposit', { walletId: customerId, amount: pounds(1_000) });
      const productId = await newProduct(api(), { price: 100, quantity: 5 });
      const reference = `for ${unique('Name')}`;
      const request = { ...orderOf({ customerId, productId }), requestId: newId(), reference };
      const { orderId } = request;
      expect((await api().call('PlaceOrder', request)).body).toMatchObject({ reference });
      await orderConfirmed(api(), orderId);
      expect((await api().call('GetOrder', { orderId })).body).toMatchObject({ reference });
      expect((await api().call('ListOrders', { customerId })).body.orders).toMatchObject([{ reference }]);
      expect((await api().call('GetCustomer', { customerId })).body).toMatchObject({ displayName, email });
      for (const text of [displayName, email, reference]) expect(await whereIs(text)).toEqual([]);

      const erased = await api().call('EraseCustomer', { customerId });
      expect(erased.body).toMatchObject({ customerId, displayName: '', email: '', country: '' });
      expect(erased.body.eraseTime).toBeTruthy();
      expect((await api().call('EraseCustomer', { customerId })).body).toEqual(erased.body);
      const after = { after: erased.token };
      expect((await api().call('GetCustomer', { customerId }, after)).body).toEqual(erased.body);
      // The first answer is stored for repeats: it shows no more than that there was one.
      expect((await api().call('RegisterCustomer', register)).body).toMatchObject({
        displayName: '[erased]',
        email: '[erased]',
      });
      for (const [method, request] of [
        ['RegisterCustomer', { customerId, displayName: 'Again', email: '', country: '' }],
        ['UpdateCustomer', { customerId, displayName: 'Again' }],
        ['RequestEmailVerification', { customerId }],
        ['MarkEmailVerified', { customerId, email }],
      ] as const)
        expect([method, (await api().send(method, request)).body.reason]).toEqual([method, 'CUSTOMER_ERASED']);
      const order = await placeOrderOf(customerId, productId);
      expect(order.reason).toBe('CUSTOMER_ERASED');

      const { body: wallet } = await api().call('GetWallet', { walletId: customerId });
      expect(wallet.balance).toEqual(pounds(900));
      await until(
        'the erasure in orders',
        async () => (await api().call('GetOrder', { orderId })).body,
        (order) => order.reference === '[erased]' && order.customerId === customerId,
        // The process that answers may still have the key for a minute.
        90_000,
      );
      expect((await api().call('ListOrders', { customerId })).body.orders).toMatchObject([{ reference: '[erased]' }]);
      expect((await api().call('PlaceOrder', request)).body).toMatchObject({ orderId, reference: '[erased]' });

      const logs = openLogs(system());
      try {
        const events = await logs.readers
          .get('customers')!
          .readStreams([{ stream: `customers.customer/${customerId}`, afterVersion: 0 }]);
        expect(events.map(({ type }) => type.split('.')[2])).toEqual(['registered', 'email_verified', 'erased']);
        const bytes = events.map(({ data }) => Buffer.from(data).toString('latin1')).join();
        expect(bytes).toContain('enc:v1:*');
      } finally {
        logs.close();
      }
    }, 150_000);
  });

  async function placeOrderOf(customerId: string, productId: string): Promise<{ reason?: string }> {
    const request = {
      orderId: unique('order'),
      customerId,
      country: 'UK',
      lines: [{ productId, quantity: '1' }],
      paymentMethod: { walletId: customerId },
    };
    return (await api().send('PlaceOrder', request)).body;
  }
}
