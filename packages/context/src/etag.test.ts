import { describe, expect, test } from '@jest/globals';
import { checkEtag, commandEtag, viewEtag } from './etag.ts';

describe('etags', () => {
  const view = { id: 'o1', view: {}, streams: { 'orders.order/o1': 7, 'payments.payment/o1': 3 }, revision: 12 };

  test("of a view have its own stream's version, then its revision", () => {
    expect(viewEtag(view, 'orders.order/o1')).toBe('7-12');
    expect(viewEtag(view, 'orders.order/o2')).toBe('0-12');
  });

  test("are compared by version only, whether they are a view's or a command's", () => {
    expect(() => checkEtag(viewEtag(view, 'orders.order/o1'), 7)).not.toThrow();
    expect(() => checkEtag(commandEtag(7), 7)).not.toThrow();
    expect(() => checkEtag('', 7)).not.toThrow();
    for (const stale of ['6', '8-12', '77', 'x'])
      expect(() => checkEtag(stale, 7)).toThrow(expect.objectContaining({ code: 'ABORTED', reason: 'ETAG_MISMATCH' }));
  });
});
