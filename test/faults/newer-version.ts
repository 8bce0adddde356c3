/**
 * Turns a process (`node --import`) into the newer of two versions of Caudal if the file that FAULTS_VERSION
 * names contains "newer". The code is the same, with a few lines changed at loading. The newer version knows these events:
 *
 *   orders.order.cancel_requested.v2    like v1, with the person who asks
 *   orders.fulfilment.confirmed.v2      like v1, with a time
 *   inventory.stock.restocked.v1        in schema version 2
 *
 * It only reads them. The tests append the events that it would write.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

/** The field of the new event in each union. */
export const newField = 100;
const tag = (newField << 3) | 2;

/** Reads the new field of a union as the given event, of which it is a newer version. */
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
