import { currencies } from '@caudal/testing/currencies.ts';
import { describe, expect, test } from '@jest/globals';
import { decimalsOf, isCurrency } from './currencies.ts';

describe('the currencies of ISO 4217', () => {
  test('are those in use', () => {
    expect(currencies.length).toBeGreaterThan(160);
    for (const code of currencies) expect(code).toMatch(/^[A-Z]{3}$/);
    // The newest ones, and those that they have replaced.
    for (const code of ['XCG', 'ZWG', 'SLE', 'VED', 'EUR']) expect(isCurrency(code)).toBe(true);
    for (const code of ['ANG', 'ZWL', 'SLL', 'HRK', 'BGN', 'CUC', 'XXX', 'XTS', 'XAU', 'ZZQ', 'constructor'])
      expect(isCurrency(code)).toBe(false);
  });

  test('have the decimals of the standard, whatever is usual in shops', () => {
    const decimals: Record<number, string> = {
      0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
      3: 'BHD IQD JOD KWD LYD OMR TND',
      4: 'CLF UYW',
    };
    const others = new Set(currencies);
    for (const [count, codes] of Object.entries(decimals)) {
      for (const code of codes.split(' ')) {
        expect([code, decimalsOf(code)]).toEqual([code, Number(count)]);
        others.delete(code);
      }
    }
    // Among them HUF, IDR, COP and LBP, of which shops show no decimals, and the ariary and the ouguiya with their fifths.
    for (const code of others) expect([code, decimalsOf(code)]).toEqual([code, 2]);
  });
});
