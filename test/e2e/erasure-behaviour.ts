/** The behaviour of personal data: sealed from the first text on, and gone once its customer is erased. */

import { customer, notification } from '@caudal/contract/entities.ts';
import type { Entity } from '@caudal/contract/entity.ts';
import { CustomerQueryServiceService } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { joinEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { notificationIdFor } from '@caudal/service-notifications/domain/notification.ts';
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

      const own = api().as(await system().token({ subject: customerId, permissions: ['payments.wallets.read'] }));
      expect((await own.send('GetWallet', { walletId: customerId })).status).toBe(200);

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
        ['CreateWallet', { walletId: unique('w'), customerId, currency: 'GBP' }],
      ] as const)
        expect([method, (await api().send(method, request)).body.reason]).toEqual([method, 'CUSTOMER_ERASED']);
      const order = await placeOrderOf(customerId, productId);
      expect(order.reason).toBe('CUSTOMER_ERASED');

      await until(
        'the end of the tokens of the erased',
        async () => (await own.send('GetWallet', { walletId: customerId })).body.reason,
        (reason) => reason === 'TOKEN_REVOKED',
        90_000,
      );
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
    }, 240_000);

    it('an address is verified by the code that is mailed to it, and by no other', async () => {
      const customerId = unique('eve');
      const email = `${unique('address')}@example.com`;
      await api().call('RegisterCustomer', { customerId, displayName: 'Eve', email, country: 'UK' });
      await api().call('RequestEmailVerification', { customerId });
      const wrong = await api().send('VerifyEmail', { customerId, code: '2222222222' });
      expect([wrong.status, wrong.body.reason]).toEqual([400, 'VERIFICATION_CODE_WRONG']);

      const logs = openLogs(system());
      const part = system().parts.find(({ name }) => /^(all|query)/.test(name))!;
      const client = connect(CustomerQueryServiceService, {
        address: part.grpc,
        auth: () => system().token({ subject: 'service:e2e', permissions: ['customers.emails.read_codes'] }),
      });
      try {
        const eventsOf = async (entity: Pick<Entity, 'domain'>, prefix: string) => {
          const { events } = await logs.readers.get(entity.domain)!.readLog(0, { limit: 10_000 });
          return events.filter(({ stream }) => stream.startsWith(prefix));
        };
        const requested = (await eventsOf(customer, customer.stream(customerId)))
          .map((event) => customer.decode(event))
          .find(({ $case }) => $case === 'emailVerificationRequested')!;
        const { verificationId, code: sealed } = requested.value as { verificationId: string; code: string };
        expect(sealed).toBe('[sealed]');
        const { code } = await client.getEmailVerification({ customerId, verificationId });
        const byCaller = client.getCustomer({ customerId, readMask: undefined });
        await expect(byCaller).rejects.toMatchObject({ reason: 'PERMISSION_MISSING' });
        // The mail is written to the process's log, since there is no mail server.
        const id = notificationIdFor(verificationId, 'email_verification');
        await until(
          'the mail with the code',
          async () => (await eventsOf(notification, notification.stream(id))).map(({ type }) => type.split('.')[2]),
          (types) => types.includes('sent'),
        );
        expect(await whereIs(code)).toEqual([]);
        const spelled = `${code.slice(0, 5)}-${code.slice(5)}`.toLowerCase();
        const verified = await api().call('VerifyEmail', { customerId, code: spelled });
        expect(verified.body).toMatchObject({ customerId, emailVerified: true });
        const moved = await api().call('UpdateCustomer', { customerId, email: `other-${email}` });
        expect(moved.body.emailVerified ?? false).toBe(false);
      } finally {
        client.close();
        logs.close();
      }
    });

    it('card numbers are refused wherever they are typed, and not repeated', async () => {
      const card = '5500 0055 5555 5559';
      const customerId = unique('eve');
      const lines = [{ productId: 'any', quantity: '1' }];
      const order = { orderId: unique('order'), customerId, country: 'UK', lines, paymentMethod: { cardToken: 'tok' } };
      for (const [method, request, field] of [
        [
          'PlaceOrder',
          { ...order, paymentMethod: { cardToken: card.replaceAll(' ', '') } },
          'payment_method.card_token',
        ],
        ['PlaceOrder', { ...order, reference: `pay with ${card}` }, 'reference'],
        ['PlaceOrder', { ...order, attributes: { note: card } }, 'attributes'],
        ['RegisterCustomer', { customerId, displayName: card, email: '', country: '' }, 'display_name'],
        ['Transfer', { walletId: 'a', toWalletId: 'b', amount: pounds(1), reference: card }, 'reference'],
        ['CancelOrder', { orderId: 'any', reason: card }, 'reason'],
      ] as const) {
        const { status, body } = await api().send(method, request);
        expect([method, status, body.reason]).toEqual([method, 400, 'INVALID_REQUEST']);
        expect(body.violations).toContainEqual({ field, description: expect.stringContaining('card number') });
        expect(JSON.stringify(body)).not.toContain('5559');
      }
      expect(await whereIs(card)).toEqual([]);
    });
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
