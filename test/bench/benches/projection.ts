/** The cost of projecting compared with writing the documents. */
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { collectionOf, createProjector, generationName } from '@caudal/projections/projector.ts';
import { stockDashboard } from '@caudal/service-inventory/projections/stock-dashboard.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { created, restocked, streamOf } from '../stock-events.ts';
import type { Bench, Figure } from '../types.ts';
import { contests } from '../view-stores.ts';

/** A consumer holds this many by default. */
const batchSize = 256;

/** Events as the log returns them: one per product, all at this version. */
function eventsOf(products: number, version: number): RecordedEvent[] {
  return Array.from({ length: products }, (_, n) => {
    const productId = `P-${n}`;
    const event = version === 1 ? created(productId) : restocked(version - 1);
    return { ...event, stream: streamOf(productId), version, position: n + 1, recordedAt: new Date() };
  });
}

function batches<T>(items: T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / batchSize) }, (_, n) =>
    items.slice(n * batchSize, (n + 1) * batchSize),
  );
}

/** Documents per second. */
async function rateOf<T>(items: T[], write: (batch: T[]) => Promise<unknown>): Promise<number> {
  const began = performance.now();
  for (const batch of batches(items)) await write(batch);
  return items.length / ((performance.now() - began) / 1_000);
}

export const projection: Bench = {
  name: 'projection',
  title: 'Projecting into the stores',
  compares: `Batches of ${batchSize} events, each of another view. A batch is decoded, its views are read, folded, and written with a guard, one batch after the other. Compared with bulk writes of the resulting documents, in batches of the same size, by the store's own client. Both for new views, and for existing ones (which a bare write replaces without reading them).`,
  needs: ['postgres', 'mongodb', 'elasticsearch'],

  async run({ quick, say }) {
    const bench = 'projection';
    const figures: Figure[] = [];
    const rounds = quick ? 1 : 5;
    for (const [name, open] of Object.entries(contests)) {
      const products = quick || name === 'mongodb' ? 2_048 : 8_192;
      const contest = await open();
      const rates = {
        insert: [] as number[],
        update: [] as number[],
        rawInsert: [] as number[],
        rawUpdate: [] as number[],
      };
      try {
        for (let round = 0; round <= rounds; round++) {
          say(`${name}: ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}`);
          const [generation, other] = [round * 2 + 1, round * 2 + 2];
          const options = { projection: stockDashboard, store: contest.store };
          await collectionOf({ ...options, generation }).create();
          await collectionOf({ ...options, generation: other }).create();
          const projector = createProjector({ ...options, generation });
          const raw = generationName(stockDashboard, other);
          const read = () => contest.read(generationName(stockDashboard, generation), products);
          const insert = await rateOf(eventsOf(products, 1), projector.handle);
          const inserted = await read();
          const rawInsert = await rateOf(inserted, (batch) => contest.insert(raw, batch));
          const update = await rateOf(eventsOf(products, 2), projector.handle);
          const updated = await read();
          const rawUpdate = await rateOf(updated, (batch) => contest.replace(raw, batch));
          if (inserted.length !== products || updated.length !== products)
            throw new Error(`${name}: views are missing`);
          if (round === 0) continue;
          rates.insert.push(insert);
          rates.update.push(update);
          rates.rawInsert.push(rawInsert);
          rates.rawUpdate.push(rawUpdate);
        }
      } finally {
        await contest.close();
      }
      const goal = { kind: 'atLeast', value: 0.6 } as const;
      figures.push(
        figureOf({ bench, metric: `${name}.new`, unit: '/s' }, rates.insert),
        figureOf({ bench, metric: `${name}.new.raw`, unit: '/s' }, rates.rawInsert),
        ratioOf({ bench, metric: `${name}.new.vs-raw`, goal }, rates.insert, rates.rawInsert),
        figureOf({ bench, metric: `${name}.known`, unit: '/s' }, rates.update),
        figureOf({ bench, metric: `${name}.known.raw`, unit: '/s' }, rates.rawUpdate),
        ratioOf({ bench, metric: `${name}.known.vs-raw` }, rates.update, rates.rawUpdate),
      );
    }
    return figures;
  },
};
