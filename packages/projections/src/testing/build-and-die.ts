/**
 * A process that builds the first generation of `details`, to be killed by kill.test.ts. It adds a byte to a file for each
 * event that it handles.
 */
import { openSync, writeSync } from 'node:fs';
import { openReader } from '@caudal/eventlog/reader.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { ensureBuilt } from '../generations/rebuild.ts';
import { countingEvents, inShortPages } from './mortal.ts';
import { details } from './projections.ts';
import { openStoreAt, type testStores } from './stores.ts';

const [name, at, logUrl, count] = process.argv.slice(2) as [keyof typeof testStores, string, string, string];
const file = openSync(count, 'a');
const { projection } = countingEvents(details, () => writeSync(file, '.'));
const database = openDatabase({ url: logUrl, schema: 'orders', poolSize: 4 });
const orders = openReader({ database, domain: 'orders' });
const built = await ensureBuilt({
  projection,
  store: openStoreAt(name, at),
  logs: inShortPages(
    new Map<string, LogReader>([
      ['orders', orders],
      ['payments', memoryLog({ domain: 'payments' })],
    ]),
    120,
  ),
  bind: async () => {},
  filled: async () => {},
  release: async () => {},
});
process.send!({ built }, () => process.exit());
