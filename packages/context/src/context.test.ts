import { expect, test } from '@jest/globals';
import { type Context, defineContext } from './context.ts';

const base: Context = {
  ...{ name: 'orders', settings: {}, permissions: [], deciders: [], projections: [] },
  ...{ commands: () => [], queries: () => [], sagas: () => [] },
};
const job = { name: 'check', description: 'A test.', schedule: '0 3 * * *', run: async () => {} };
const gauge = { name: 'orders_open', description: 'A test.', unit: '1' as const, read: async () => 0 };

test('jobs and gauges that are declared correctly are accepted', () => {
  expect(defineContext({ ...base, jobs: [job], gauges: [gauge] })).toMatchObject({ jobs: [job], gauges: [gauge] });
  expect(defineContext(base)).toBe(base);
});

test.each<[Partial<Context>, RegExp]>([
  [{ jobs: [job, job] }, /Job "check" of orders: name is that of another job/],
  [{ jobs: [{ ...job, schedule: 'daily' }] }, /Job "check" of orders: schedule "daily" must have five fields/],
  [{ gauges: [gauge, gauge] }, /Two gauges of orders have one name/],
  [
    { gauges: [{ ...gauge, name: 'payments_open' }] },
    /Gauge "payments_open" of orders: name must begin with "orders_"/,
  ],
  [{ gauges: [{ ...gauge, labels: ['order_id'] }] }, /Gauge "orders_open" of orders: label "order_id" is an id/],
])('wrong ones end the start with a message that names the fault: %#', (wrong, message) => {
  expect(() => defineContext({ ...base, ...wrong })).toThrow(message);
});
