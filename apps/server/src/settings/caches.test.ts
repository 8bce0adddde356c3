import { expect, test } from '@jest/globals';
import { parseCaches } from './caches.ts';

test('how views are cached, by their names', () => {
  const caches = parseCaches('wallet-balances=refresh-ahead/5m, product-search.pages=cache-aside/5s');
  expect([...caches]).toEqual([
    ['wallet-balances', { strategy: 'refresh-ahead', ms: 300_000 }],
    ['product-search.pages', { strategy: 'cache-aside', ms: 5_000 }],
  ]);
});

test.each([
  ['wallet-balances', '"wallet-balances" is not VIEW=STRATEGY/TIME, with cache-aside, write-through, refresh-ahead'],
  ['wallet-balances=write-behind/5m', '"wallet-balances=write-behind/5m" is not'],
  ['wallet-balances=cache-aside/2h', '1s to 1h'],
  ['wallet-balances=cache-aside/0s', '1s to 1h'],
  ['wallet-balance=cache-aside/5m', 'there is no view "wallet-balance": they are '],
  ['wallet-balances.pages=cache-aside/5m', 'there is no view "wallet-balances.pages"'],
  ['stock-dashboard=cache-aside/5s,stock-dashboard=cache-aside/6s', '"stock-dashboard" is there twice'],
  ['product-search.pages=write-through/5s', "pages are not written, so they can't be cached by write-through"],
])('%s is refused', (text, message) => {
  expect(() => parseCaches(text)).toThrow(message);
});
