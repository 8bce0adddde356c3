import type { DescMessage } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import { expect, test } from '@jest/globals';
import { boundsOf, isTextInJson, maxDepth, maxValues, type TypeBounds } from './bounds.ts';

/** The values of the largest request as JSON, and how deep it is nested. */
function largest(type: TypeBounds): { values: number; depth: number } {
  let [values, depth] = [1, 1];
  for (const of of new Set(type.byNumber.values())) {
    const inner = of.type && !isTextInJson(of) ? largest(of.type) : { values: 1, depth: 1 };
    values += of.items === undefined ? inner.values : 1 + of.items * inner.values;
    depth = Math.max(depth, (of.items === undefined ? 1 : 2) + inner.depth);
  }
  return { values, depth };
}

/** The values of the largest message in protobuf, where a time is a message of two numbers, and a list is nothing but its items. */
function largestOnWire(type: TypeBounds): number {
  let values = 0;
  for (const of of new Set(type.byNumber.values())) {
    const inner = of.type ? largestOnWire(of.type) : of.isMap ? 2 : 0;
    values += (of.items ?? 1) * (1 + inner);
  }
  return values;
}

const requests: [string, DescMessage][] = contract()
  .methods()
  .map(({ path, request }) => [path, request]);

test.each(requests)('the bounds leave room for the largest request of %s', (_, request) => {
  const { values, depth } = largest(boundsOf(request));
  expect(values).toBeLessThanOrEqual(maxValues);
  expect(largestOnWire(boundsOf(request))).toBeLessThanOrEqual(maxValues);
  expect(depth).toBeLessThanOrEqual(maxDepth);
});

test('are those of the contract, under both names of a field', () => {
  const [, request] = requests.find(([path]) => path.endsWith('/PlaceOrder'))!;
  const { byName, byNumber } = boundsOf(request);
  expect(byName.get('lines')).toMatchObject({ items: 1_000, kind: 'message', isMap: false });
  expect(byName.get('attributes')).toMatchObject({ items: 20, kind: 'text', isMap: true });
  expect(byName.get('orderId')).toBe(byName.get('order_id'));
  expect(byName.get('orderId')!.characters).toBeGreaterThan(0);
  expect(byNumber.get(1)).toMatchObject({ name: 'request_id', characters: 36 });
});
