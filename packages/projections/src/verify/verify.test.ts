/** Comparing views with a fold of the log. */
import { order, wallet } from '@caudal/contract/entities.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { expect, test } from '@jest/globals';
import { ensureBuilt, rebuild } from '../generations/rebuild.ts';
import { collectionOf } from '../projector.ts';
import { confirmed, created, deposited, details, movements, testLogs } from '../testing/projections.ts';
import { rebuildPlace, storeNames } from '../testing/rebuild.ts';
import { verify } from './verify.ts';

for (const name of storeNames) {
  describeWith([name], `verifying on ${name}`, () => {
    const { setUp } = rebuildPlace(name);

    test('verifying finds what is missing, differing, behind and extra, in as many passes as memory needs', async () => {
      const made = testLogs();
      const { projection, store, options } = setUp(details, made);
      for (let number = 0; number < 10; number++) await made.append(order, `o${number}`, created('ann'), confirmed);
      await ensureBuilt(options);
      const collection = collectionOf({ projection, store, generation: 1 });
      const documents = new Map((await collection.load(['o1', 'o2'])).map((document) => [document.id, document]));
      const [one, two] = [documents.get('o1')!, documents.get('o2')!];
      await collection.save([
        { ...one, revision: 2, keys: {}, view: { ...(one.view as object), status: 'invented' } },
        {
          ...two,
          revision: 2,
          keys: {},
          view: { ...(two.view as object), status: 'created' },
          streams: { 'orders.order/o2': 1 },
        },
        { id: 'ghost', revision: 1, keys: {}, view: one.view, streams: { 'orders.order/ghost': 1 } },
      ]);
      await made.append(order, 'o10', created('ben'));
      const report = await verify({ projection, store, logs: made.logs, maxViews: 4, settleMs: 100 });
      expect(report.findings.map(({ kind, id }) => `${id} ${kind}`).sort()).toEqual([
        'ghost extra',
        'o1 differing',
        'o10 missing',
        'o2 behind',
      ]);
      expect(report.counts).toEqual({ missing: 1, differing: 1, behind: 1, extra: 1 });
      expect(report.documents).toBe(11);
    });

    test('histories are built and verified too', async () => {
      const made = testLogs();
      for (const id of ['a', 'b'])
        await made.append(wallet, id, deposited(1n), { $case: 'unfrozen', value: {} }, deposited(2n));
      const { projection, store, options, views } = setUp(movements, made);
      await ensureBuilt(options);
      const found = await views.find({ where: [{ key: 'wallet', equals: 'a' }], limit: 5 });
      expect(found.views.map(({ view }) => view.amount).sort()).toEqual([1n, 2n]);
      expect(await verify({ projection, store, logs: made.logs })).toMatchObject({ documents: 6, findings: [] });
      const collection = collectionOf({ projection, store, generation: 1 });
      const [entry] = await collection.load([found.views[0]!.id]);
      await collection.save([
        { ...entry!, revision: 2, keys: {}, view: { wallet: 'a', amount: '99' } },
        { id: 'ghost', revision: 1, keys: {}, view: { wallet: 'a', amount: '1' }, streams: { 'payments.wallet/a': 1 } },
      ]);
      const report = await verify({ projection, store, logs: made.logs, settleMs: 100 });
      expect(report.findings.map(({ kind, id }) => `${id} ${kind}`).sort()).toEqual(
        [`${entry!.id} differing`, 'ghost extra'].sort(),
      );
    });

    test('a history of several pages is compared to its end', async () => {
      const made = testLogs();
      const all = await made.append(wallet, 'a', ...Array.from({ length: 2_100 }, () => deposited(1n)));
      const { projection, store, options } = setUp(movements, made);
      await ensureBuilt(options);
      const collection = collectionOf({ projection, store, generation: 1 });
      const last = all.at(-1)!.eventId;
      const [entry] = await collection.load([last]);
      await collection.save([{ ...entry!, revision: 2, keys: {}, view: { wallet: 'a', amount: '99' } }]);
      const report = await verify({ projection, store, logs: made.logs, settleMs: 0 });
      expect(report.findings).toEqual([{ kind: 'differing', id: last, detail: 'is not what the log says' }]);
    });

    if (name === 'mongodb')
      test('the sample of a rebuild ends where its streams are long', async () => {
        const made = testLogs();
        const long = Array.from({ length: 3_000 }, () => confirmed);
        for (let number = 0; number < 30; number++) await made.append(order, `o${number}`, ...long);
        const { options } = setUp(details, made);
        const { verified } = await rebuild(options);
        // 50,000 events, and those in flight by then.
        expect(verified).toBeGreaterThanOrEqual(17);
        expect(verified).toBeLessThanOrEqual(17 + 7);
      });
  });
}
