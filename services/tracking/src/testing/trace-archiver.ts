/** A process that archives old months of traces, for tests that kill it: it says so before a step, and waits there for its end. */
import { openFolderStore } from '@caudal/archive-store/folder-store.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { archiveNow } from './old-traces.ts';

const [url, folder, stopBefore] = process.argv.slice(2) as [string, string, string];
const database = openDatabase({ url, schema: 'tracking', poolSize: 2, applicationName: 'trace-archiver' });
await archiveNow(database, openFolderStore(folder), {
  async onStep(step) {
    if (step !== stopBefore) return;
    process.send!('there');
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  },
});
await database.close();
process.disconnect();
