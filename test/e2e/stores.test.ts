/** The whole system as one process on the real servers behaves as it does on the embedded PostgreSQL. */

import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { type Carrier, describeCarriers, openCarrier } from './carriers-behaviour.ts';
import { describeErasure } from './erasure-behaviour.ts';
import { describeOrders } from './orders-behaviour.ts';
import { describeParcelSearch } from './parcel-search-behaviour.ts';
import { describeReads } from './reads-behaviour.ts';
import { describeReturns } from './returns-behaviour.ts';
import { describeShipments } from './shipments-behaviour.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { describeTracking } from './tracking-behaviour.ts';

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'one process on the real servers', () => {
  let system: System;
  let carrier: Carrier;

  beforeAll(async () => {
    carrier = await openCarrier();
    system = await startSystem({ form: 'stores', databaseRole: 'application', env: () => carrier.env });
  }, 120_000);
  afterAll(async () => {
    await system?.stop();
    carrier?.close();
  }, 120_000);

  describeOrders(() => system);
  describeShipments(() => system);
  describeTracking(() => system);
  describeParcelSearch(() => system);
  describeCarriers(
    () => system,
    () => carrier,
  );
  describeErasure(() => system);
  describeReads(() => system);
  describeReturns(() => system);

  const it = systemTest(() => system);
  it('there is no dead letter afterwards, and it stops without an error', async () => {
    expect(await system.stores!.deadLetters()).toEqual([]);
    expect(await system.part('all').end('SIGTERM')).toBe(0);
  }, 60_000);
});
