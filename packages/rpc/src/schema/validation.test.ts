import { create } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { contract } from '@caudal/contract/descriptors.ts';
import { CreateProductRequest } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { RegisterCustomerRequest, UpdateCustomerRequest } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { AdjustStockRequest, ReserveStockRequest } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { ListOrdersRequest, PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CreatePaymentRequest } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import {
  CreateWalletRequest,
  GetWalletRequest,
  WithdrawRequest,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { currencies } from '@caudal/testing/currencies.ts';
import { customerIds } from '@caudal/testing/customer-ids.ts';
import { describe, expect, test } from '@jest/globals';
import { rulesOf } from './rules.ts';
import { type Sender, validator } from './validation.ts';

const { registry } = contract();
const type = (name: string) => registry.getMessage(`caudal.${name}`)!;

function violationsOf(name: string, message: unknown, sender?: Sender) {
  try {
    validator(type(name), sender)(message);
    return [];
  } catch (error) {
    expect((error as CaudalError).code).toBe('INVALID_ARGUMENT');
    return (error as CaudalError).violations;
  }
}

describe('validation', () => {
  const reserve = (fields: object) =>
    ReserveStockRequest.fromPartial({ reservationId: 'r-1', lines: [{ productId: 'a', quantity: 1n }], ...fields });

  test('a good request passes', () => {
    expect(violationsOf('inventory.v1.ReserveStockRequest', reserve({}))).toEqual([]);
  });

  test('a service passes on what earlier versions have taken: card numbers, characters, currencies; form and length hold', () => {
    const payment = (cardToken: string, currency = 'GBP') =>
      CreatePaymentRequest.fromPartial({
        ...{ paymentId: 'p', orderId: 'o', customerId: 'c', amount: { minorUnits: 1n, currency } },
        method: { $case: 'cardToken', value: cardToken },
      });
    const fieldsOf = (message: unknown, sender: Sender) =>
      violationsOf('payments.v1.CreatePaymentRequest', message, sender).map(({ field }) => field);
    for (const text of ['4111 1111 1111 1111', 'a\u0007', 'a\u202e', 'a\nb']) {
      expect([text, fieldsOf(payment(text), 'caller')]).toEqual([text, ['card_token']]);
      expect([text, fieldsOf(payment(text), 'service')]).toEqual([text, []]);
      const attributes = reserve({ attributes: { [text]: text } });
      expect(violationsOf('inventory.v1.ReserveStockRequest', attributes, 'caller')).not.toEqual([]);
      expect(violationsOf('inventory.v1.ReserveStockRequest', attributes, 'service')).toEqual([]);
    }
    const wallet = CreateWalletRequest.fromPartial({ walletId: 'w', customerId: 'c', currency: 'AAA' });
    const ofWallet = (sender: Sender) =>
      violationsOf('payments.v1.CreateWalletRequest', wallet, sender).map(({ field }) => field);
    expect([ofWallet('caller'), ofWallet('service')]).toEqual([['currency'], []]);
    const bad = { ...payment('x'.repeat(201)), paymentId: 'a b', customerId: 'service:x' };
    expect(fieldsOf(bad, 'service')).toEqual(['payment_id', 'customer_id', 'card_token']);
    for (const text of ['a\0', 'a\ud800']) expect(fieldsOf(payment(text), 'service')).toEqual(['card_token']);
  });

  test('all violations are reported together, with paths of the contract and what to do', () => {
    const bad = reserve({
      requestId: 'no-uuid',
      reservationId: '',
      lines: [
        { productId: 'a', quantity: 1n },
        { productId: 'b', quantity: 1n },
        { productId: 'c d', quantity: 0n },
      ],
      ttl: { seconds: 700_000n, nanos: 0 },
      attributes: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, 'v'])),
    });
    expect(violationsOf('inventory.v1.ReserveStockRequest', bad)).toEqual([
      { field: 'request_id', description: 'must be a UUID, like 0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101' },
      { field: 'reservation_id', description: 'must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$' },
      { field: 'lines[2].product_id', description: 'must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' },
      { field: 'lines[2].quantity', description: 'must be at least 1' },
      { field: 'ttl', description: 'must be at most 604800s' },
      { field: 'attributes', description: 'must have at most 20 entries' },
    ]);
  });

  test('a time beyond every date is refused, by its field', () => {
    const request = (atTime: Date) => GetWalletRequest.fromPartial({ walletId: 'w', atTime });
    expect(violationsOf('payments.v1.GetWalletRequest', request(new Date(0)))).toEqual([]);
    // As the decoder makes it of 9e15 seconds.
    const beyond = request(new Date(9e18));
    expect(violationsOf('payments.v1.GetWalletRequest', beyond)).toEqual([
      { field: 'at_time', description: 'must be a time of the years 1 to 9999' },
    ]);
  });

  test('positions and versions that no log can have are refused', () => {
    const refused = (name: string, message: object) =>
      violationsOf(`log.v1.${name}`, { domain: 'orders', limit: 0, waitMillis: 0, minAgeMillis: 0, ...message }).map(
        ({ field }) => field,
      );
    const cursors = (afterVersion: bigint) => ({ streams: [{ stream: 's', afterVersion }] });
    expect(refused('ReadLogRequest', { afterPosition: 2n ** 53n - 1n })).toEqual([]);
    expect(refused('ReadLogRequest', { afterPosition: 2n ** 53n })).toEqual(['after_position']);
    expect(refused('HeadsRequest', { afterPosition: 2n ** 53n })).toEqual(['after_position']);
    expect(refused('ReadStreamsRequest', cursors(2n ** 31n - 1n))).toEqual([]);
    expect(refused('ReadStreamsRequest', cursors(2n ** 31n))).toEqual(['streams[0].after_version']);
    expect(refused('ReadLogRequest', { domain: 'o'.repeat(41), afterPosition: 0n })).toEqual(['domain']);
  });

  describe('texts', () => {
    const refused = (name: string, message: unknown) => violationsOf(name, message).map(({ field }) => field);
    const customer = (displayName: string) => RegisterCustomerRequest.fromPartial({ customerId: 'a', displayName });
    const product = (fields: object) => CreateProductRequest.fromPartial({ productId: 'a', title: 'A', ...fields });

    test('are checked in all places: single, in lists, in keys and values of maps', () => {
      const attributes = (map: object) => refused('inventory.v1.ReserveStockRequest', reserve({ attributes: map }));
      expect([attributes({ 'a\0': 'b' }), attributes({ a: '\0' }), attributes({ a: 'b' })]).toEqual([
        ['attributes'],
        ['attributes'],
        [],
      ]);
      const two = RegisterCustomerRequest.fromPartial({ customerId: 'a', displayName: 'A\0', country: '\0' });
      expect(refused('customers.v1.RegisterCustomerRequest', two)).toEqual(['display_name', 'country']);
      expect(refused('catalog.v1.BatchGetProductsRequest', { productIds: ['a', '\0'] })).toEqual([
        'product_ids[1]',
        'product_ids[1]',
      ]);
    });

    test('that must be there say something: blanks are not enough', () => {
      const said = (title: string) =>
        violationsOf('catalog.v1.CreateProductRequest', product({ title })).map(({ description }) => description);
      for (const blank of [' ', '   ', '\u00a0\u3000'])
        expect([blank, said(blank)]).toEqual([blank, ['must not be blank']]);
      expect(said('')).toEqual(['must not be empty']);
      expect(said(' a ')).toEqual([]);
      const adjust = { productId: 'p', delta: 1n, reason: ' ' };
      expect(refused('inventory.v1.AdjustStockRequest', AdjustStockRequest.fromPartial(adjust))).toEqual(['reason']);
    });

    test('of one line have no control characters, no breaks, and nothing that turns the direction of what follows', () => {
      const bad = [
        '\0',
        '\t',
        '\n',
        '\r',
        '\x1b',
        '\x7f',
        '\x85',
        '\u2028',
        '\u2029',
        '\u202a',
        '\u202e',
        '\u2066',
        '\u2069',
      ];
      for (const character of bad) {
        const [violation] = violationsOf('customers.v1.RegisterCustomerRequest', customer(`a${character}b`));
        const code = character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0');
        expect(violation).toEqual({
          field: 'display_name',
          description: `must not contain the character U+${code}: it is a text of one line`,
        });
      }
      // Marks that join letters, or say how one letter runs, belong to languages.
      for (const good of ['O\u2019Neill', 'می\u200cخواهم', 'a\u200fb', 'e\u0301', '\u{1f469}\u200d\u{1f680}', 'a b'])
        expect(violationsOf('customers.v1.RegisterCustomerRequest', customer(good))).toEqual([]);
    });

    test('of several lines have tabs and breaks, but no other control characters', () => {
      expect(
        refused('catalog.v1.CreateProductRequest', product({ description: 'a\tb\r\nc\u2028\u2067d\u2069' })),
      ).toEqual([]);
      // Nor what turns a text around, or hides one beside another.
      for (const bad of [
        '\0',
        '\x08',
        '\x0b',
        '\x1b',
        '\x7f',
        '\x9f',
        '\u202d',
        '\u202e',
        '\u206a',
        '\u206f',
        '\ufff9',
      ])
        expect(refused('catalog.v1.CreateProductRequest', product({ description: bad }))).toEqual(['description']);
      expect(refused('catalog.v1.CreateProductRequest', product({ title: 'a\nb' }))).toEqual(['title']);
    });

    test('have whole characters only: half of a pair has no form in UTF-8', () => {
      for (const half of ['\ud800', 'a\udfff', '\udc00\ud800'])
        expect(violationsOf('customers.v1.RegisterCustomerRequest', customer(half))).toEqual([
          { field: 'display_name', description: 'must not contain half of a character (a lone surrogate)' },
        ]);
    });

    test('that name a currency name one that is in use', () => {
      const wallet = (currency: string) =>
        refused('payments.v1.CreateWalletRequest', { walletId: 'w', customerId: 'c', currency });
      for (const currency of currencies) {
        expect(wallet(currency)).toEqual([]);
      }
      for (const currency of [
        'ZZQ',
        'HRK',
        'BGN',
        'ANG',
        'ZWL',
        'XXX',
        'XTS',
        'XAU',
        'DEM',
        'GBp',
        'gbp',
        'EURO',
        '',
      ]) {
        expect(wallet(currency)).toContain('currency');
      }
      // Money of a wallet must be able to leave it when its currency is withdrawn.
      const amountOf = (currency: string) =>
        refused(
          'payments.v1.WithdrawRequest',
          WithdrawRequest.fromPartial({ walletId: 'w', amount: { minorUnits: 1n, currency } }),
        );
      expect(['BGN', 'ZZQ'].flatMap(amountOf)).toEqual([]);
      expect(['GBp', 'EURO', ''].map(amountOf)).toEqual([
        ['amount.currency'],
        ['amount.currency'],
        ['amount.currency'],
      ]);
    });

    test('a mail address is one, or empty; international ones too', () => {
      const email = (text: string) => [
        refused(
          'customers.v1.RegisterCustomerRequest',
          RegisterCustomerRequest.fromPartial({ customerId: 'c', email: text }),
        ),
        refused(
          'customers.v1.UpdateCustomerRequest',
          UpdateCustomerRequest.fromPartial({ customerId: 'c', email: text }),
        ),
      ];
      for (const text of ['', 'ada@example.org', '用户@例子.广告', 'ada@bücher.example'])
        expect(email(text)).toEqual([[], []]);
      for (const text of ['ada', 'a b@example.org', 'ada@exa\u202emple.org', `${'ü'.repeat(33)}@example.org`, ' '])
        expect(email(text)).toEqual([['email'], ['email']]);
      const absent = UpdateCustomerRequest.fromPartial({ customerId: 'c' });
      expect(refused('customers.v1.UpdateCustomerRequest', absent)).toEqual([]);
    });

    test("a customer's id is what token issuers make", () => {
      const get = (customerId: string) => [...new Set(refused('customers.v1.GetCustomerRequest', { customerId }))];
      for (const id of customerIds) expect([id, get(id)]).toEqual([id, []]);
      for (const id of [
        '',
        ' ',
        'a b',
        '.',
        '..',
        '../x',
        '|x',
        'a%2Fb',
        'a?b',
        'a#b',
        'a"b',
        'a\\b',
        'ä',
        'a'.repeat(181),
      ])
        expect([id, get(id)]).toEqual([id, ['customer_id']]);
      for (const id of ['service:orders', 'webhook:payments', 'public:anyone', 'a/../b', 'a/.', 'a/./b'])
        expect([id, get(id)]).toEqual([id, ['customer_id']]);
      // Other ids are the shop's own.
      expect(refused('orders.v1.GetOrderRequest', { orderId: 'auth0|5f7c8ec7', readMask: undefined })).toEqual([
        'order_id',
      ]);
    });
  });

  test('a missing message, an empty oneof and an undefined enum value are reported', () => {
    const place = PlaceOrderRequest.fromPartial({
      customerId: 'a',
      country: 'GB',
      lines: [{ productId: 'a', quantity: 1n }],
    });
    expect(violationsOf('orders.v1.PlaceOrderRequest', place)).toEqual([
      { field: 'payment_method', description: 'must be given' },
    ]);
    expect(violationsOf('orders.v1.PlaceOrderRequest', { ...place, paymentMethod: { method: undefined } })).toEqual([
      { field: 'payment_method.method', description: 'must be given: one of wallet_id, card_token' },
    ]);
    const list = { ...ListOrdersRequest.fromPartial({}), status: 99 };
    expect(violationsOf('orders.v1.ListOrdersRequest', list)[0]).toMatchObject({ field: 'status' });
  });

  test('the number of violations is bounded', () => {
    const lines = Array.from({ length: 500 }, () => ({ productId: '', quantity: 0n }));
    expect(violationsOf('inventory.v1.ReserveStockRequest', reserve({ lines }))).toHaveLength(50);
  });

  test('every rule of every request of the contract is supported', () => {
    for (const { request } of contract().methods()) expect(() => validator(request)).not.toThrow();
  });

  test('an unknown rule is refused by name', () => {
    const known = type('orders.v1.PlaceOrderRequest').field.country!;
    const rules = contract().fieldRules(known)!;
    const view = reflect(registry.getMessage('buf.validate.FieldRules')!, structuredClone(rules));
    const stringRules = registry.getMessage('buf.validate.StringRules')!;
    const strange = create(stringRules, { prefix: 'x' } as never);
    view.set(view.fields.find(({ name }) => name === 'string')!, reflect(stringRules, strange));
    const original = contract().fieldRules;
    try {
      contract().fieldRules = () => view.message;
      expect(() => rulesOf(known)).toThrow('string.prefix');
    } finally {
      contract().fieldRules = original;
    }
  });
});
