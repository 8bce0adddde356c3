/** What every form of the system does for those who read: fresh views, pages, masks, ETags, search, its own description. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { contract } from '@caudal/contract/descriptors.ts';
import { ListSalesRequest, Sales, SalesQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/sales.ts';
import { setTokenKeys } from '@caudal/kernel/sealed-token.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { decodeConsistency, encodeConsistency } from '@caudal/rpc/server/consistency-token.ts';
import { findChromium } from '@caudal/testing/chromium.ts';
import { describe, expect, test } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import type { Json } from './api.ts';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import {
  deliver,
  newCustomer,
  newProduct,
  orderAt,
  orderConfirmed,
  orderOf,
  placeOrder,
  pounds,
  unique,
} from './world.ts';

export function describeReads(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;

  describe('reads', () => {
    it('a consistency token shows every query what its command wrote', async () => {
      const category = unique('category');
      for (let round = 1; round <= 3; round++) {
        const productId = unique('fresh');
        const product = await api().call('CreateProduct', {
          productId,
          title: 'Fresh fig',
          category,
          price: pounds(5),
        });
        expect((await api().call('GetProduct', { productId }, { after: product.token })).body.title).toBe('Fresh fig');
        const found = await api().call('SearchProducts', { categories: [category] }, { after: product.token });
        expect(idsOf(found.body.products)).toContain(productId);

        const stock = await api().call('CreateStockItem', { productId, quantity: '4' });
        expect((await api().call('GetStockItem', { productId }, { after: stock.token })).body.available).toBe('4');
        const inStock = { categories: [category], availableOnly: true };
        const sellable = await api().call('SearchProducts', inStock, { after: stock.token });
        expect(idsOf(sellable.body.products)).toContain(productId);
        const restocked = await api().call('Restock', { productId, quantity: '3' });
        expect((await api().call('GetStockItem', { productId }, { after: restocked.token })).body.onHand).toBe('7');

        const customerId = unique('reader');
        const who = await api().call('RegisterCustomer', { customerId, displayName: 'Reader' });
        expect((await api().call('GetCustomer', { customerId }, { after: who.token })).body.displayName).toBe('Reader');
        const wallet = await api().call('CreateWallet', { walletId: customerId, customerId, currency: 'GBP' });
        const wallets = await api().call('ListWallets', { customerId }, { after: wallet.token });
        expect(wallets.body.wallets).toMatchObject([{ walletId: customerId, balance: pounds(0) }]);
        const deposit = await api().call('Deposit', { walletId: customerId, amount: pounds(100 * round) });
        const after = { after: deposit.token };
        const { balance } = (await api().call('GetWallet', { walletId: customerId }, after)).body;
        expect(balance).toEqual(pounds(100 * round));
        const moves = await api().call('ListTransactions', { walletId: customerId }, after);
        expect(moves.body.transactions).toHaveLength(1);

        const { orderId, reply } = await placeOrder(api(), { customerId, productId });
        expect((await api().call('GetOrder', { orderId }, { after: reply.token })).status).toBe(200);
        const { orders } = (await api().call('ListOrders', { customerId }, { after: reply.token })).body;
        expect(orders).toHaveLength(1);
      }
    });

    it('a cached view shows a command at once to those who wrote, and soon to all', async () => {
      const walletId = await newCustomer(api(), 100);
      for (let round = 1; round <= 5; round++) {
        await api().call('GetWallet', { walletId });
        const { token } = await api().call('Deposit', { walletId, amount: pounds(1) });
        const { balance } = (await api().call('GetWallet', { walletId }, { after: token })).body;
        expect(balance).toEqual(pounds(100 + round));
        // What one reader has seen, no later one misses.
        expect((await api().call('GetWallet', { walletId })).body.balance).toEqual(pounds(100 + round));
      }
    });

    it('a token of the future is answered with "come back", not with old data', async () => {
      const walletId = await newCustomer(api(), 1);
      const { token } = await api()
        .call('GetWallet', { walletId })
        .then(() => api().call('Deposit', { walletId, amount: pounds(1) }));
      const reply = await api().send('GetWallet', { walletId }, { after: laterThan(token!, system()) });
      expect(reply).toMatchObject({ status: 503, body: { reason: 'NOT_YET_VISIBLE' } });
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    });

    it('any text comes back from every view as it was given', async () => {
      const texts = ['"quoted" \\ \'$1\' %s {x}', '\u{1F9EA} 漢字 اَلْعَرَبِيَّةُ', '__proto__'];
      for (const text of texts) {
        const productId = unique('text');
        const product = { productId, title: text, description: text, category: text, price: pounds(1) };
        const { token } = await api().call('CreateProduct', product);
        const found = await api().call('GetProduct', { productId }, { after: token });
        expect(found.body).toMatchObject({ title: text, description: text, category: text });
        const search = await api().call('SearchProducts', { categories: [text] }, { after: token });
        expect(idsOf(search.body.products)).toContain(productId);

        const walletId = await newCustomer(api(), 0);
        const deposit = await api().call('Deposit', { walletId, amount: pounds(1), reference: text });
        const moves = await api().call('ListTransactions', { walletId }, { after: deposit.token });
        expect(moves.body.transactions[0].reference).toBe(text);
      }
      // Of several lines, where there may be some.
      const lines = 'line\r\nline\ttab';
      const productId = unique('lines');
      const product = { productId, title: 'Lines', description: lines, price: pounds(1) };
      const { token } = await api().call('CreateProduct', product);
      expect((await api().call('GetProduct', { productId }, { after: token })).body.description).toBe(lines);
      const wrong = await api().send('CreateProduct', { ...product, productId: unique('lines'), title: lines });
      expect(wrong).toMatchObject({ status: 400, body: { violations: [{ field: 'title' }] } });
    });

    it('summaries and counts have what their caller wrote', async () => {
      const before = Number((await api().call('CountStockItems', {})).body.count);
      const productId = await newProduct(api(), { price: 100, quantity: 50 });
      expect(Number((await api().call('CountStockItems', {})).body.count)).toBeGreaterThan(before);
      const customerId = await newCustomer(api(), 1_000);
      let token: string | undefined;
      for (const quantity of [1, 2, 3])
        ({ token } = (await placeOrder(api(), { customerId, productId, quantity })).reply);
      const orders = async (groupBy: string[]) => {
        const { body } = await api().call('SummarizeOrders', { customerId, groupBy }, { after: token });
        return body;
      };
      const [currency] = (await orders(['ORDER_DIMENSION_CURRENCY', 'ORDER_DIMENSION_COUNTRY'])).groups;
      expect(currency).toMatchObject({ currency: 'GBP', country: 'UK', orderCount: '3', total: pounds(600) });
      const { groups } = await orders(['ORDER_DIMENSION_STATUS', 'ORDER_DIMENSION_CREATE_DAY']);
      expect(groups.reduce((sum: number, { orderCount }: Json) => sum + Number(orderCount), 0)).toBe(3);
      for (const { createTime } of groups) expect(createTime).toMatch(/T00:00:00Z$/);
      const wallets = await api().call('SummarizeWallets', { customerId });
      expect(wallets.body.groups).toMatchObject([{ currency: 'GBP', walletCount: '1' }]);
      const twice = ['ORDER_DIMENSION_STATUS', 'ORDER_DIMENSION_STATUS'];
      const reply = await api().send('SummarizeOrders', { customerId, groupBy: twice });
      expect(reply).toMatchObject({ status: 400, body: { violations: [{ field: 'group_by' }] } });
    });

    it('sales by country and day: what was placed, sold, cancelled and rejected, by REST and gRPC', async () => {
      const country = unique('Ruritania \u{1F1EB} /%');
      const customerId = await newCustomer(api(), 100_000);
      const inPounds = await newProduct(api(), { price: 250, quantity: 50 });
      const inEuros = unique('tasse');
      const price = { minorUnits: '999', currency: 'EUR' };
      await api().call('CreateProduct', { productId: inEuros, title: 'Tasse', price });
      const { token: stocked } = await api().call('CreateStockItem', { productId: inEuros, quantity: '5' });
      await api().call('GetStockItem', { productId: inEuros }, { after: stocked });

      /** The figures of all days: the test may run over midnight. */
      const figures = (sales: Json[]) => {
        const sum = (of: (day: Json) => string) => sales.reduce((all, day) => all + Number(of(day)), 0);
        const revenue = (currency: string, of = 'revenue') =>
          sum((one) => one[of].find((amount: Json) => amount.currency === currency)?.minorUnits ?? '0');
        return {
          placed: sum(({ placedOrders }) => placedOrders),
          sold: sum(({ soldOrders }) => soldOrders),
          pieces: sum(({ soldPieces }) => soldPieces),
          cancelled: sum(({ cancelledOrders }) => cancelledOrders),
          rejected: sum(({ rejectedOrders }) => rejectedOrders),
          GBP: revenue('GBP'),
          EUR: revenue('EUR'),
          back: sum(({ returnedPieces }) => returnedPieces),
          backGBP: revenue('GBP', 'returnedRevenue'),
          netGBP: revenue('GBP', 'netRevenue'),
        };
      };
      const list = async (request: Json, after?: string): Promise<Json[]> =>
        (await api().call('ListSales', { country, ...request }, { after })).body.sales;
      const place = async (order: Json, quantity: number) => {
        const request = { ...orderOf({ customerId, productId: inPounds, quantity, ...order }), country };
        const { token } = await api().call('PlaceOrder', request);
        return { orderId: request.orderId as string, token };
      };

      const sold = await place({}, 3);
      const cancelled = await place({}, 2);
      const rejected = await place({ card: 'tok_declined' }, 1);
      const foreign = await place({ productId: inEuros, card: 'tok_approved' }, 2);
      // What the caller has written is there, whatever else is.
      expect(figures(await list({}, foreign.token))).toMatchObject({ placed: 4 });
      await Promise.all([sold, cancelled, foreign].map(({ orderId }) => orderConfirmed(api(), orderId)));
      await api().call('CancelOrder', { orderId: cancelled.orderId });
      await Promise.all([orderAt(api(), cancelled.orderId, 'CANCELLED'), orderAt(api(), rejected.orderId, 'REJECTED')]);
      // A piece that comes back is taken off the net figures, and off no other.
      await deliver(api(), sold.orderId);
      await orderAt(api(), sold.orderId, 'DELIVERED');
      const lines = [{ productId: inPounds, quantity: '1' }];
      await api().call('ReturnOrder', { orderId: sold.orderId, lines });
      const net = { back: 1, backGBP: 250, netGBP: 500 };
      const all = { placed: 4, sold: 2, pieces: 5, cancelled: 1, rejected: 1, GBP: 750, EUR: 1998, ...net };
      const sales = await until(
        'sales of the country',
        () => list({}),
        (days) => figures(days).cancelled + figures(days).rejected === 2 && figures(days).back === 1,
      );
      expect(figures(sales)).toEqual(all);

      const { day } = sales[0];
      expect(day).toMatch(/^\d{4}-\d\d-\d\d$/);
      expect(await list({ fromDay: day, toDay: sales.at(-1).day })).toEqual(sales);
      expect(await list({ toDay: '2001-01-01' })).toEqual([]);
      expect(await list({ fromDay: '9999-12-31' })).toEqual([]);
      const wrong = await api().send('ListSales', { fromDay: '2026-13-01' });
      expect(wrong).toMatchObject({ status: 400, body: { violations: [{ field: 'from_day' }] } });
      // Pages of all countries: each once, the oldest day first.
      const seen: string[] = [];
      for (let pageToken = ''; ; ) {
        const { body } = await api().call('ListSales', { pageSize: 1, pageToken });
        seen.push(...body.sales.map((one: Json) => `${one.day} ${one.country}`));
        pageToken = body.nextPageToken ?? '';
        if (!pageToken) break;
      }
      expect(seen).toContain(`${day} ${country}`);
      expect(seen).toEqual([...new Set(seen)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));

      const part = system().form === 'processes' ? 'query' : 'all';
      const auth = (permissions: string[]) => () => system().token({ subject: 'ann', permissions });
      const address = system().part(part).grpc;
      const operator = connect(SalesQueryServiceService, { address, auth: auth(['orders.sales.read']) });
      const buyer = connect(SalesQueryServiceService, { address, auth: auth(['orders.orders.read:any']) });
      try {
        const request = ListSalesRequest.fromPartial({ country });
        const answer = await operator.listSales(request);
        expect(answer.sales.map((one) => Sales.toJSON(one))).toEqual(sales);
        expect(answer.sales[0]!.revenue.map(({ minorUnits }) => typeof minorUnits)).toContain('bigint');
        await expect(buyer.listSales(request)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
      } finally {
        operator.close();
        buyer.close();
      }
    }, 60_000);

    it('pages of a long list: everything once, in order', async () => {
      const walletId = await newCustomer(api(), 0);
      let token: string | undefined;
      for (let amount = 1; amount <= 23; amount++) {
        ({ token } = await api().call('Deposit', { walletId, amount: pounds(amount) }));
      }
      const amounts: number[] = [];
      const sizes: number[] = [];
      let pageToken = '';
      do {
        const page = { walletId, pageSize: 5, ...(pageToken && { pageToken }) };
        const { body } = await api().call('ListTransactions', page, { after: token });
        amounts.push(...body.transactions.map(({ amount }: Json) => Number(amount.minorUnits)));
        sizes.push(body.transactions.length);
        pageToken = body.nextPageToken;
        // What comes meanwhile is on a page before.
        if (sizes.length === 2) await api().call('Deposit', { walletId, amount: pounds(1_000) });
      } while (pageToken && sizes.length < 10);
      expect(amounts).toEqual(Array.from({ length: 23 }, (_, index) => 23 - index));
      expect(sizes).toEqual([5, 5, 5, 5, 3]);
    });

    it("a wallet's statement is in the order of its events, however close they are", async () => {
      const walletId = await newCustomer(api(), 0);
      const deposits = Array.from({ length: 24 }, () => api().call('Deposit', { walletId, amount: pounds(1) }));
      const after = { after: (await Promise.all(deposits)).at(-1)!.token! };
      await api().call('ListTransactions', { walletId }, after);
      const statement = async (orderBy: string) => {
        const found: Json[] = [];
        let pageToken = '';
        do {
          const page = { walletId, orderBy, pageSize: 7, ...(pageToken && { pageToken }) };
          const { body } = await api().call('ListTransactions', page);
          found.push(...body.transactions);
          pageToken = body.nextPageToken;
        } while (pageToken && found.length < 50);
        return found.map(({ balance }: Json) => Number(balance.minorUnits));
      };
      await until(
        'all of it',
        () => statement(''),
        ({ length }) => length === 24,
      );
      const lastFirst = Array.from({ length: 24 }, (_, index) => 24 - index);
      expect(await statement('')).toEqual(lastFirst);
      expect(await statement('create_time')).toEqual(lastFirst.toReversed());
    });

    it('a customer with the id of a token issuer uses the shop over REST', async () => {
      const customerId = `auth0|${unique('x')}/a+b=@example.org`;
      const permissions = [
        ...['customers.customers.read', 'customers.customers.write', 'payments.payments.read'],
        ...['orders.orders.read', 'orders.orders.place'],
      ];
      const own = api().as(await system().token({ subject: customerId, permissions }));
      await own.call('RegisterCustomer', { customerId, email: '用户@例子.广告' });
      expect((await own.call('GetCustomer', { customerId })).body).toMatchObject({
        customerId,
        email: '用户@例子.广告',
      });
      expect((await own.call('UpdateCustomer', { customerId, email: '' })).body.email).toBe('');
      const productId = await newProduct(api());
      const { orderId, reply } = await placeOrder(own, { customerId, productId, card: 'tok_approved' });
      const { orders } = (await own.call('ListOrders', { customerId }, { after: reply.token })).body;
      expect(orders).toMatchObject([{ orderId, customerId }]);
      await orderConfirmed(api(), orderId);
      const { payments } = (await own.call('ListPayments', { customerId })).body;
      expect(payments.map(({ paymentId }: Json) => paymentId)).toEqual([orderId]);
      const other = await own.send('ListOrders', { customerId: 'auth0|another' });
      expect(other).toMatchObject({ status: 403, body: { reason: 'NOT_OWNER' } });
    });

    it('a page token of another query is refused', async () => {
      const walletId = await newCustomer(api(), 5);
      const { token } = await api().call('Deposit', { walletId, amount: pounds(1) });
      const { body } = await api().call('ListTransactions', { walletId, pageSize: 1 }, { after: token });
      const other = await newCustomer(api(), 5);
      const reply = await api().send('ListTransactions', {
        walletId: other,
        pageSize: 1,
        pageToken: body.nextPageToken,
      });
      expect(reply).toMatchObject({ status: 400, body: { violations: [{ field: 'page_token' }] } });
    });

    it('read_mask leaves out what nobody asked for', async () => {
      const walletId = await newCustomer(api(), 5);
      const one = await api().call('GetWallet', { walletId, readMask: 'walletId,balance.minorUnits' });
      expect(one.body).toEqual({ walletId, balance: { minorUnits: '5' } });
      const list = await api().call('ListWallets', { customerId: walletId, readMask: 'wallet_id' });
      expect(list.body).toEqual({ wallets: [{ walletId }], nextPageToken: '' });
    });

    it('If-None-Match is answered 304 until something changes', async () => {
      const walletId = await newCustomer(api(), 5);
      const first = await api().call('GetWallet', { walletId });
      expect(first.etag).toMatch(/^"[\w-]+"$/);
      const ifNoneMatch = { headers: { 'if-none-match': first.etag! } };
      const same = await api().send('GetWallet', { walletId }, ifNoneMatch);
      expect(same).toMatchObject({ status: 304, body: undefined });
      const { token } = await api().call('Deposit', { walletId, amount: pounds(1) });
      const changed = await api().send('GetWallet', { walletId }, { ...ifNoneMatch, after: token });
      expect(changed).toMatchObject({ status: 200, body: { balance: pounds(6) } });
      expect(changed.etag).not.toBe(first.etag);
    });

    it('If-Match lets only one of two change what both have read', async () => {
      const customerId = await newCustomer(api(), 0);
      const { etag } = await api().call('GetCustomer', { customerId });
      const change = (displayName: string) =>
        api().send('UpdateCustomer', { customerId, displayName }, { headers: { 'if-match': etag! } });
      expect((await change('Ada Byron')).status).toBe(200);
      expect(await change('Ada King')).toMatchObject({ status: 412, body: { reason: 'ETAG_MISMATCH' } });
      expect((await api().call('GetCustomer', { customerId })).body.displayName).toBe('Ada Byron');

      const productId = await newProduct(api());
      const { orderId, reply } = await placeOrder(api(), { customerId, productId, card: 'tok_approved' });
      const { etag: old } = await api().call('GetOrder', { orderId }, { after: reply.token });
      await orderConfirmed(api(), orderId);
      const late = await api().send('CancelOrder', { orderId }, { headers: { 'if-match': old! } });
      // It had been confirmed before it was first read, or since.
      expect([200, 412]).toContain(late.status);
    });

    it('If-Match of an order also tells whether its payment has changed since', async () => {
      const customerId = await newCustomer(api(), 0);
      const productId = await newProduct(api());
      const { orderId } = await placeOrder(api(), { customerId, productId, card: 'tok_approved' });
      const { etag } = await orderConfirmed(api(), orderId).then(() => api().call('GetOrder', { orderId }));
      const { token } = await api().call('RefundPayment', { paymentId: orderId, reason: 'goodwill' });
      const after = await api().call('GetOrder', { orderId }, { after: token });
      expect(after.etag).not.toBe(etag);
      const cancel = (tag: string) => api().send('CancelOrder', { orderId }, { headers: { 'if-match': tag } });
      expect(await cancel(etag!)).toMatchObject({ status: 412, body: { reason: 'ETAG_MISMATCH' } });
      // The refund goes on meanwhile, and changes the order's payment again.
      const cancelled = await until(
        'a cancellation on what was read',
        async () => cancel((await api().call('GetOrder', { orderId })).etag!),
        ({ status }) => status !== 412,
      );
      expect(cancelled.status).toBe(200);
    });
  });

  describe('search', () => {
    it('finds by words, category, price and availability, in pages, with counts', async () => {
      const [tea, cups] = [unique('tea'), unique('cups')];
      const title = (name: string) => `Zanzibar ${name}`;
      const ids = [
        await newProduct(api(), { title: title('teapot'), category: tea, price: 1_000, quantity: 3 }),
        await newProduct(api(), { title: title('kettle'), category: tea, price: 3_000, quantity: 0 }),
        await newProduct(api(), { title: title('mug'), category: cups, price: 500, quantity: 1 }),
      ] as const;
      const gone = unique('gone');
      await api().call('CreateProduct', { productId: gone, title: title('saucer'), category: cups, price: pounds(1) });
      const { token } = await api().call('DiscontinueProduct', { productId: gone });
      const stock = await api().call('Restock', { productId: ids[2], quantity: '1' });
      const both = [tea, cups];
      const search = async (query: Json) => {
        await api().call('SearchProducts', { categories: both }, { after: stock.token });
        return (await api().call('SearchProducts', { categories: both, ...query }, { after: token })).body;
      };
      const found = async (query: Json) => idsOf((await search(query)).products).sort();

      expect(await found({})).toEqual([...ids].sort());
      expect(await found({ query: 'zanzibar' })).toEqual([...ids].sort());
      expect(await found({ query: 'zanzibar kettle' })).toEqual([ids[1]]);
      expect(await found({ query: 'zanzibar tractor' })).toEqual([]);
      expect(await found({ categories: [cups] })).toEqual([ids[2]]);
      const currency = 'GBP';
      expect(await found({ minPrice: '600', maxPrice: '3000', currency })).toEqual([ids[0], ids[1]].sort());
      expect(await found({ currency: 'EUR' })).toEqual([]);
      for (const query of [{ minPrice: '600' }, { orderBy: 'price' }])
        expect(await api().send('SearchProducts', query)).toMatchObject({
          status: 400,
          body: { violations: [{ field: 'currency' }] },
        });
      const ordered = async (orderBy: string) => idsOf((await search({ orderBy, currency })).products);
      expect(await ordered('price')).toEqual([ids[2], ids[0], ids[1]]);
      expect(await ordered('price desc')).toEqual([ids[1], ids[0], ids[2]]);
      expect(await ordered('create_time desc')).toEqual([ids[2], ids[1], ids[0]]);
      expect(await found({ query: ids[1] })).toEqual([ids[1]]);
      expect(await found({ query: '★' })).toEqual([]);
      expect(await found({ availableOnly: true })).toEqual([ids[0], ids[2]].sort());
      expect(await search({ query: 'zanzibar' })).toMatchObject({
        totalSize: '3',
        categories: [
          { category: tea, count: '2' },
          { category: cups, count: '1' },
        ],
      });

      const first = await search({ query: 'zanzibar', pageSize: 2 });
      expect(first.products).toHaveLength(2);
      const second = await search({ query: 'zanzibar', pageSize: 2, pageToken: first.nextPageToken });
      expect([...idsOf(first.products), ...idsOf(second.products)].sort()).toEqual([...ids].sort());
      expect(second.nextPageToken).toBe('');
    });

    it('finds what was typed, whatever the script and the spelling', async () => {
      const category = unique('spelling');
      const titles = {
        'Фарфоровая чашка': ['чашка', 'ЧАШКА', 'фарф'],
        'Ölkanne groß': ['ölkanne', 'olkanne', 'oelkanne', 'GROSS'],
        'Klinke 3.5mm, AC/DC, 1/2': ['3.5mm', 'acdc', '1/2'],
        'Filter NOR.0707-60': ['NOR.0707-60', 'nor0707', '0707-60'],
        हिन्दी: ['हिन्दी'],
        'หนังสือ ภาษาไทย': ['หนังสือ', 'ไทย'],
        كِتَاب: ['كتاب'],
        ガラスのランタン: ['ランタン'],
      };
      for (const [title, queries] of Object.entries(titles)) {
        const productId = unique('spelling');
        const { token } = await api().call('CreateProduct', { productId, title, category, price: pounds(1) });
        for (const query of [title, ...queries]) {
          const { body } = await api().call('SearchProducts', { query, categories: [category] }, { after: token });
          expect([query, idsOf(body.products)]).toEqual([query, [productId]]);
        }
      }
    });

    it('forgives typing errors', async () => {
      const category = unique('typo');
      const productId = unique('typo');
      const request = { productId, title: 'Porcelain teapot', category, price: pounds(1) };
      const { token } = await api().call('CreateProduct', request);
      for (const query of ['porcelian', 'porcelain taepot', 'tepot']) {
        const { body } = await api().call('SearchProducts', { query, categories: [category] }, { after: token });
        expect([query, idsOf(body.products), body.forgiven]).toEqual([query, [productId], true]);
      }
    });

    it('does not answer with something similar to a product that is off sale', async () => {
      const gone = unique('gone');
      await api().call('CreateProduct', { productId: gone, title: 'Quarrion', price: pounds(1) });
      const other = { productId: unique('other'), title: 'Quarrian', price: pounds(1) };
      const { token: both } = await api().call('CreateProduct', other);
      const { token } = await api().call('DiscontinueProduct', { productId: gone });
      const asked = (query: string, after: string | undefined) => api().call('SearchProducts', { query }, { after });
      const { body: similar } = await asked('quarriaan', both);
      expect([idsOf(similar.products), similar.forgiven]).toEqual([[other.productId], true]);
      const { body } = await asked('quarrion', token);
      expect([idsOf(body.products), body.forgiven]).toEqual([[], false]);
    });
  });

  describe('its own description', () => {
    it('/openapi.json is valid and names every public method', async () => {
      const { body } = await api().raw('query', '/openapi.json');
      expect(await new Validator().validate(structuredClone(body))).toMatchObject({ valid: true });
      const described = Object.entries(body.paths).flatMap(([path, methods]) =>
        Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
      );
      const declared = contract()
        .methods()
        .filter(({ access }) => !access.internal)
        .flatMap(({ http }) => http.map(({ method, template }) => `${method} ${template}`));
      expect(described.sort()).toEqual(declared.sort());
    });

    const chromium = findChromium();
    (chromium ? test : test.skip)(
      `/docs loads in a browser${chromium ? '' : ' (no Chromium in PATH or CHROMIUM_PATH)'}`,
      async () => {
        const url = `${system().parts[0]!.rest}/docs/`;
        const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=15000', '--dump-dom'];
        const { stdout } = await promisify(execFile)(chromium!, [...flags, url], {
          timeout: 60_000,
          maxBuffer: 64 * 1024 * 1024,
        });
        // Only the script that reads /openapi.json writes these. (The page is far too long to be shown.)
        expect(
          ['OrderService', 'Add to cart', 'WalletQueryService'].filter((words) => !stdout.includes(words)),
        ).toEqual([]);
      },
      90_000,
    );
  });

  it('a wrong order says so at once, and is not placed', async () => {
    const customerId = await newCustomer(api(), 0);
    const reply = await api().send('PlaceOrder', orderOf({ customerId, productId: unique('nothing') }));
    expect(reply).toMatchObject({
      status: 400,
      body: { reason: 'PRODUCT_NOT_SOLD', violations: [{ field: 'lines[0].product_id' }] },
    });
    expect((await api().call('ListOrders', { customerId })).body.orders).toEqual([]);
  });
}

const idsOf = (products: Json[]): string[] => products.map(({ productId }) => productId);

/** The token with a version that is not there yet. */
function laterThan(token: string, { tokenKeys }: System): string {
  setTokenKeys(tokenKeys());
  const written = decodeConsistency(token);
  return encodeConsistency(written.map((one) => ({ ...one, version: one.version + 1 })))!;
}
