/**
 * A process that archives the old months of a log, for tests that kill it. With the name of a step it says so before that step, and
 * waits there for its end.
 */
import { openFolderStore } from '@caudal/archive-store/folder-store.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { archiveNow } from './archive-now.ts';

const [url, folder, stopBefore] = process.argv.slice(2) as [string, string, string];
const database = openDatabase({ url, schema: 'orders', poolSize: 2, applicationName: 'archiver' });
await archiveNow({ database, url }, openFolderStore(folder), {
  async onStep(step) {
    if (step !== stopBefore) return;
    process.send!('there');
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  },
});
await database.close();
process.send!('done');
process.disconnect();
