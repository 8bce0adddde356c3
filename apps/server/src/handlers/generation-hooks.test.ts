import { park } from '@caudal/messaging/dead-letters/parked.ts';
import { migrations as messagingMigrations } from '@caudal/messaging/migrations.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { expect, test } from '@jest/globals';
import { generationHooks } from './generation-hooks.ts';

describeWith(['postgres'], 'the hooks of a generation', () => {
  test('record where its consumers continue, and remove everything of a dropped generation', async () => {
    const fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'orders', sets: [migrations, messagingMigrations] });
    const database = openDatabase({ url: fresh.url, schema: 'orders' });
    try {
      const { filled, release } = generationHooks({
        broker: undefined,
        registries: new Map(),
        logs: new Map(),
        database,
        holder: 'test',
      });
      for (const handler of ['order-details.v1.1', 'order-details.v1.2']) {
        await filled(handler, new Map([['orders', 5]]));
        const failure = { version: 1, eventType: 'orders.order.created.v1', error: 'bad', attempts: 4, lastVersion: 1 };
        await park(database, { handler, stream: 'orders.order/1', ...failure });
      }
      expect(await position(database, 'feed:order-details.v1.1:orders')).toBe(5);
      await release('order-details.v1.1');
      const left = (text: string) => database.query({ text });
      expect(await left('SELECT handler FROM parked_streams')).toEqual([{ handler: 'order-details.v1.2' }]);
      expect(await left('SELECT name FROM checkpoints ORDER BY name')).toEqual([
        { name: 'feed:order-details.v1.2:orders' },
        { name: 'sweep:order-details.v1.2:orders' },
      ]);
    } finally {
      await database.close();
      await fresh.drop();
    }
  });
});
