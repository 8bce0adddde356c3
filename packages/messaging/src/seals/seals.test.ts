/** Seals of messages: what they cover, and what is refused. */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { runInNewContext } from 'node:vm';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { describe, expect, test } from '@jest/globals';
import { fromMessage, type OutgoingMessage, sealIn, toMessages } from '../rabbitmq/envelope.ts';
import { newSealKey, sealKeySource } from '../testing/seal-keys.ts';
import { hashTree, leafHash, rootOf } from './hash-tree.ts';
import { decodeSeal, encodeSeal, type Seal } from './seal.ts';
import { openSealCheck, type Received } from './seal-check.ts';
import { openSealer } from './sealer.ts';

const eventOf = (n: number): RecordedEvent => ({
  eventId: `0190b4a0-0000-7000-8000-${String(n).padStart(12, '0')}`,
  type: 'orders.order.placed.v1',
  schemaVersion: 2,
  data: Buffer.from(`body ${n}`),
  metadata: Buffer.from(`metadata ${n}`),
  position: 100 + n,
  stream: `orders.order/${n}`,
  version: 1 + n,
  recordedAt: new Date(1_700_000_000_000 + n),
});
const events = Array.from({ length: 7 }, (_, n) => eventOf(n));

/** A message as a consumer gets it. */
const arrived = ({ content, options }: OutgoingMessage) => ({
  content,
  properties: { headers: options.headers } as never,
});
const received = (message: OutgoingMessage): Received => ({
  event: fromMessage(arrived(message))!,
  seal: sealIn(arrived(message)),
});

const relay = newSealKey('relay.1');
const seal = (of = events, by = relay) => toMessages(of, { exchange: 'events' }, openSealer(by)).map(received);
function trusting(...domains: string[]) {
  const keys = sealKeySource();
  keys.trust(relay, ...domains);
  return { ...keys, check: openSealCheck(keys.source) };
}

describe('a hash tree', () => {
  // The roots of RFC 9162's tree over these entries, as in the test vectors of Certificate Transparency.
  const entries = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const leaves = entries.map((hex) => leafHash([Buffer.from(hex, 'hex')]));

  test.each([
    [1, '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
    [2, 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
    [3, 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'],
    [5, '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'],
    [7, 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c'],
    [8, '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328'],
  ])('over %s entries has the known root', (size, root) => {
    expect(hashTree(leaves.slice(0, size)).root.toString('hex')).toBe(root);
  });

  test('of any size leads from each leaf to its root, and from no other place', () => {
    for (let size = 1; size <= 33; size++) {
      const all = Array.from({ length: size }, (_, n) => leafHash([Buffer.from(`${n}`)]));
      const { root, pathOf } = hashTree(all);
      for (let index = 0; index < size; index++) {
        const path = pathOf(index);
        expect(rootOf(all[index]!, { index, size, path })?.equals(root)).toBe(true);
        for (let other = 0; other < size + 2; other++)
          if (other !== index)
            expect(rootOf(all[index]!, { index: other, size, path })?.equals(root) ?? false).toBe(false);
        if (size > 1) expect(rootOf(all[index]!, { index, size, path: path.slice(1) })).toBeUndefined();
        expect(rootOf(all[index]!, { index, size, path: [...path, root] })).toBeUndefined();
      }
    }
  });
});

describe('a seal', () => {
  test('of each message of a batch is valid by itself, in any order, and again', async () => {
    const { check } = trusting('orders');
    for (const one of seal().reverse()) expect(await check([one, one])).toEqual([undefined, undefined]);
    expect(await check(seal([eventOf(9)]))).toEqual([undefined]);
  });

  test.each<[string, Partial<RecordedEvent>]>([
    ['id', { eventId: 'x' }],
    ['type', { type: 'orders.order.confirmed.v1' }],
    ['stream', { stream: 'orders.order/other' }],
    ['version', { version: 99 }],
    ['position', { position: 99 }],
    ['schema version', { schemaVersion: 3 }],
    ['time', { recordedAt: new Date(0) }],
    ['epoch', { epoch: 1 }],
    ['metadata', { metadata: Buffer.from('metadata 9') }],
    ['body', { data: Buffer.from('body 9') }],
    ['border between metadata and body', { metadata: Buffer.from('metadata 3b'), data: Buffer.from('ody 3') }],
  ])('does not hold for another %s', async (_, change) => {
    const { check } = trusting('orders');
    const [{ event, seal: own }] = seal().slice(3) as [Received];
    expect(await check([{ event: { ...event, ...change }, seal: own }])).toEqual(['wrong']);
    expect(await check([{ event, seal: own }])).toEqual([undefined]);
  });

  test('is missed, or not of a known version, or not of the event', async () => {
    const { check } = trusting('orders');
    const [first, second] = seal() as [Received, Received];
    const changed = (change: (bytes: Buffer) => Buffer): Received => ({
      event: first.event,
      seal: { keyId: 'relay.1', bytes: change(Buffer.from(first.seal!.bytes)) },
    });
    const withByte = (at: number, value: number) =>
      changed((bytes) => {
        bytes[at] = value;
        return bytes;
      });
    const cases: [Received, string][] = [
      [{ event: first.event, seal: undefined }, 'none'],
      [{ event: first.event, seal: second.seal }, 'wrong'],
      [withByte(0, 2), 'unreadable'],
      [withByte(4, 1), 'wrong'],
      [withByte(8, 3), 'wrong'],
      [withByte(20, first.seal!.bytes[20]! ^ 1), 'wrong'],
      [changed((bytes) => bytes.subarray(0, -32)), 'wrong'],
      [changed((bytes) => bytes.subarray(0, -1)), 'unreadable'],
      [changed((bytes) => bytes.subarray(0, 5)), 'unreadable'],
      [changed(() => Buffer.alloc(0)), 'unreadable'],
      [changed((bytes) => Buffer.concat([bytes, Buffer.alloc(32)])), 'wrong'],
      [changed((bytes) => Buffer.concat([bytes, Buffer.alloc(32 * 100_000)])), 'unreadable'],
    ];
    for (const [message, flaw] of cases) expect(await check([message])).toEqual([flaw]);
  });

  test('of a key that is unknown, of another domain, or withdrawn does not hold, and the keys are read again', async () => {
    const keys = trusting('orders');
    const stranger = newSealKey('relay.1');
    const [ofStranger] = seal(events, stranger);
    expect(await keys.check([ofStranger!])).toEqual(['wrong']);
    expect(keys.state.renewed).toBe(0);
    const messages = seal();
    expect(await keys.check(seal(events, { ...relay, keyId: 'relay.2' }))).toEqual(messages.map(() => 'unknown_key'));
    expect(keys.state.renewed).toBe(1);

    const [payment] = seal([{ ...eventOf(1), stream: 'payments.payment/1', type: 'payments.payment.captured.v1' }]);
    expect(await keys.check([payment!])).toEqual(['unknown_key']);
    keys.trust(relay, 'orders', 'payments');
    expect(await keys.check([payment!])).toEqual([undefined]);

    expect(await keys.check(messages.slice(0, 1))).toEqual([undefined]);
    keys.withdraw('relay.1');
    expect(await keys.check(messages.slice(0, 1))).toEqual(['unknown_key']);
    // Another key under the same name: a root that was verified before does not count for it.
    keys.trust(stranger, 'orders');
    expect(await keys.check(messages.slice(0, 1))).toEqual(['wrong']);
  });

  test('is not believed while the keys are away', async () => {
    const keys = trusting('orders');
    keys.state.isAway = true;
    expect(await keys.check(seal().slice(0, 2))).toEqual(['unknown_key', 'unknown_key']);
  });

  test('is measured before it is decoded', () => {
    const parts = { index: 0, size: 1, signature: Buffer.alloc(64), path: [] };
    const bytes = encodeSeal(parts);
    expect(decodeSeal({ keyId: 'k', bytes })).toEqual(parts);
    const refused: Seal[] = [
      { keyId: 'k'.repeat(256), bytes },
      { keyId: 'k', bytes: encodeSeal({ ...parts, size: 65_537 }) },
      { keyId: 'k', bytes: encodeSeal({ ...parts, signature: Buffer.alloc(1_100) }) },
      { keyId: 'k', bytes: Buffer.concat([bytes.subarray(0, 9), Buffer.from('ffff', 'hex'), bytes.subarray(11)]) },
    ];
    for (const one of refused) expect(decodeSeal(one)).toBeUndefined();
  });

  test('in headers of another kind is none', () => {
    const [message] = toMessages(events, { queue: 'q' }, openSealer(relay)) as [OutgoingMessage];
    const { headers } = message.options;
    const of = (change: object) => sealIn({ properties: { headers: { ...headers, ...change } } as never });
    expect(of({})).toEqual({ keyId: 'relay.1', bytes: expect.any(Buffer) });
    expect(of({ cloudEvents_seal: 'text' })).toBeUndefined();
    expect(of({ cloudEvents_seal: { length: 1e9 } })).toBeUndefined();
    expect(of({ cloudEvents_sealkey: 7 })).toBeUndefined();
    expect(sealIn({ properties: {} as never })).toBeUndefined();
    expect(toMessages(events, { queue: 'q' }, undefined)[0]!.options.headers).not.toHaveProperty('cloudEvents_seal');
  });
});

test('the function that the docs give to other programs agrees', () => {
  const page = readFileSync(new URL('../../../../docs/message-seals.md', import.meta.url), 'utf8');
  const [, source] = /```ts\n([\s\S]*?)```/.exec(page)!;
  const code = stripTypeScriptTypes(source!)
    .replace(/^import .*$/m, '')
    .replace('export function', 'function');
  const names = { createHash, createPublicKey, verify, Buffer };
  const isSealed = runInNewContext(`${code}; isSealed`, names) as (message: object, key: object) => boolean;
  const jwk = relay.publicKey.export({ format: 'jwk' });
  const messages = toMessages([...events, { ...eventOf(8), epoch: 2 }], { exchange: 'e' }, openSealer(relay)).map(
    arrived,
  );
  for (const message of messages) expect(isSealed(message, jwk)).toBe(true);
  const [first, second] = messages as [(typeof messages)[0], (typeof messages)[0]];
  expect(isSealed({ ...first, content: second.content }, jwk)).toBe(false);
  expect(isSealed(first, newSealKey('other').publicKey.export({ format: 'jwk' }))).toBe(false);
});
