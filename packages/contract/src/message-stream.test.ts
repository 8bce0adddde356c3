import { expect, test } from '@jest/globals';
import { contract } from './descriptors.ts';
import { type MessageStreamOf, messageStreamOf } from './message-stream.ts';

const method = (path: string) => contract().method(`/caudal.${path}`);
const { request, response, access } = method('tracking.v1.TrackingService/StreamTraces');
const good: MessageStreamOf = { path: '/x', kind: 'bidi_streaming', request, response, http: [], access };

test('a method with streams has an answer with an error; others have no streams', () => {
  expect(method('tracking.v1.TrackingService/StreamTraces').stream).toEqual({
    errorField: response.field.error!.number,
  });
  expect(messageStreamOf(good)).toEqual({ errorField: 3 });
  expect(method('tracking.v1.TrackingService/RecordTraces').stream).toBeUndefined();
});

const { http } = method('tracking.v1.TrackingService/RecordTraces');
const placeOrder = method('orders.v1.OrderService/PlaceOrder');
test.each<[string, Partial<MessageStreamOf>, string]>([
  ['a stream of requests with one answer', { kind: 'client_streaming' }, 'both are streams'],
  ['a stream of answers', { kind: 'server_streaming' }, 'both are streams'],
  ['a route', { http }, 'no REST route'],
  ['no token', { access: method('tracking.v1.TrackingService/ReceiveCarrierPush').access }, 'shows a token'],
  ['a request_id', { request: placeOrder.request }, 'no request_id'],
  ['an answer without error', { response: placeOrder.response }, '"error" of type google.rpc.Status'],
])('%s is refused by name', (_, wrong, why) => {
  expect(() => messageStreamOf({ ...good, ...wrong })).toThrow(why);
});
