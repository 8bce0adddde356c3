import { describe, expect, test } from '@jest/globals';
import { checkEtag, commandEtag, tellsOfOthers, viewEtag } from './etag.ts';

describe('etags', () => {
  const view = { id: 'o1', view: {}, streams: { 'orders.order/o1': 7, 'payments.payment/o1': 3 }, revision: 12 };

  test("of a view have its own stream's version, and a digest of the others'", () => {
    const own = viewEtag(view, 'orders.order/o1');
    expect(own).toMatch(/^7-[\w-]{8}$/);
    const with4 = { ...view, streams: { ...view.streams, 'payments.payment/o1': 4 } };
    expect(viewEtag(with4, 'orders.order/o1')).not.toBe(own);
    // How often the view was written, and in which order its streams came, does not count.
    const rebuilt = { ...view, revision: 2, streams: { 'payments.payment/o1': 3, 'orders.order/o1': 7 } };
    expect(viewEtag(rebuilt, 'orders.order/o1')).toBe(own);
    // The same versions of other streams are another state.
    const shipped = { ...view, streams: { 'orders.order/o1': 7, 'shipping.shipment/o1': 3 } };
    expect(viewEtag(shipped, 'orders.order/o1')).not.toBe(own);
    expect(viewEtag({ ...view, streams: { 'a.b/c': 2 } }, 'a.b/c')).toBe('2');
    expect([own, '2'].map(tellsOfOthers)).toEqual([true, false]);
  });

  test('are compared by the version of the own stream, and with the view if the command has looked at it', () => {
    const own = viewEtag(view, 'orders.order/o1');
    expect(() => checkEtag(own, 7)).not.toThrow();
    expect(() => checkEtag(own, 7, own)).not.toThrow();
    expect(() => checkEtag(commandEtag(7), 7)).not.toThrow();
    expect(() => checkEtag('', 7, own)).not.toThrow();
    // The ETag of a command's answer, whatever the view has of other streams, or if it is behind.
    for (const viewed of [own, '6-otherone']) expect(() => checkEtag(commandEtag(7), 7, viewed)).not.toThrow();
    const stale = expect.objectContaining({ code: 'ABORTED', reason: 'ETAG_MISMATCH' });
    for (const etag of ['6', '8-12', '77', 'x']) expect(() => checkEtag(etag, 7)).toThrow(stale);
    for (const viewed of ['7-otherone', '8-otherone']) expect(() => checkEtag(own, 7, viewed)).toThrow(stale);
    expect(() => checkEtag(own, 8, own)).toThrow(stale);
    expect(() => checkEtag(commandEtag(6), 7, '6-otherone')).toThrow(stale);
  });
});
