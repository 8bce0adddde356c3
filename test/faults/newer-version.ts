/**
 * Makes the process that is started with it (`node --import`) the newer of two versions of Caudal, if the file that
 * FAULTS_VERSION names says "newer": one that knows more events. It is the same code, but for a few lines that are changed
 * as they are loaded.
 *
 *   orders.order.cancel_requested.v2    as v1, and says who wants it
 *   orders.fulfilment.confirmed.v2      as v1, and says when
 *   inventory.stock.restocked.v1        in schema version 2
 *
 * It reads them, and writes none: what it would write the tests append.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

/** The field of the union that holds the new event, in each of the unions. */
export const newField = 100;
const tag = (newField << 3) | 2;

/** Reads the new field of a union as the event that it is another version of. */
function reading(union: string, $case: string, message: string): Change {
  return {
    file: '/contract/src/gen/caudal/orders/v1/events.ts',
    find: new RegExp(`(\\): ${union} \\{(?:(?!\\n  \\},)[^])*?switch \\(tag >>> 3\\) \\{)`),
    replace: `$1
          case ${newField}: {
            if (tag !== ${tag}) break;
            message.event = { $case: '${$case}', value: ${message}.decode(reader, reader.uint32()) };
            continue;
          }`,
  };
}

interface Change {
  file: string;
  find: RegExp;
  replace: string;
}

const changes: Change[] = [
  reading('OrderEvent', 'cancelRequested', 'OrderCancelRequested'),
  reading('FulfilmentEvent', 'confirmed', 'FulfilmentConfirmed'),
  {
    file: '/contract/src/entities.ts',
    find: /entity\('inventory\.stock', StockEvent\)/,
    replace: "entity('inventory.stock', StockEvent, { 'inventory.stock.restocked.v1': { 1: (data) => data } })",
  },
];

const version = process.env.FAULTS_VERSION;
if (version && readFileSync(version, 'utf8') === 'newer')
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const mine = changes.filter(({ file }) => url.endsWith(file));
      if (mine.length === 0) return loaded;
      let source = Buffer.from(loaded.source as Uint8Array).toString('utf8');
      for (const { file, find, replace } of mine) {
        if (!find.test(source)) throw new Error(`${file} is not as it was: ${find}`);
        source = source.replace(find, replace);
      }
      return { ...loaded, source };
    },
  });
