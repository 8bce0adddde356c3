/** Times that are beyond what dates can be: refused alike over REST and gRPC, by the field's name. */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { start, stopAll, token } from '../testing/fixture.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';

let server: Awaited<ReturnType<typeof start>>;
let alice: string;

beforeAll(async () => {
  server = await start();
  alice = await token('alice', ['orders.orders.read']);
});
afterAll(stopAll);

/** SummarizeOrdersRequest { customer_id: "alice", start_time: { seconds } }. */
const summarize = (seconds: bigint) =>
  new BinaryWriter().uint32(10).string('alice').uint32(26).fork().uint32(8).int64(seconds).join().finish();

test.each([9_000_000_000_000_000n, 2n ** 63n - 1n, -(2n ** 63n), 253_402_300_800n, -62_135_596_801n])(
  'over gRPC: %d seconds',
  async (seconds) => {
    const calls = grpcCalls(server.address);
    try {
      const error = await calls.refusal('/caudal.orders.v1.OrderQueryService/SummarizeOrders', summarize(seconds), {
        as: alice,
      });
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field: 'start_time' }] });
    } finally {
      calls.close();
    }
  },
);

test.each(['+275761-01-01T00:00:00Z', '10000-01-01T00:00:00Z', '0000-12-31T23:59:59Z', 'now'])(
  'over REST: %s',
  async (time) => {
    const query = `customerId=alice&startTime=${encodeURIComponent(time)}`;
    const response = await fetch(`${server.url}/v1/orders:summarize?${query}`, {
      headers: { authorization: `Bearer ${alice}` },
    });
    expect([response.status, await response.json()]).toMatchObject([400, { code: 'INVALID_ARGUMENT' }]);
  },
);
