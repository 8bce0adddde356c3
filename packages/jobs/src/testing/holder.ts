/**
 * A process that runs the job `slow`, for processes.test.ts. It reports to its parent when a run begins. At each
 * message it writes with its token, whatever its signal's state, and reports the outcome.
 */
import { openDatabase } from '@caudal/postgres/database.ts';
import { runJobs } from '../jobs.ts';
import type { GuardedDatabase, Job } from '../types.ts';

const [url, leaseMs] = process.argv.slice(2) as [string, string];
const database = openDatabase({ url, schema: 'orders' });

const slow: Job<GuardedDatabase> = {
  name: 'slow',
  description: 'Runs until its signal fires.',
  schedule: { everyMs: 3_600_000 },
  async run(db, { signal, token }) {
    const write = async () => {
      await db
        .transaction((tx) => tx.query({ text: "INSERT INTO written VALUES ('slow', $1)", values: [token] }))
        .then(
          () => process.send!({ wrote: token }),
          (error: Error) => process.send!({ refused: token, error: error.name }),
        );
    };
    process.on('message', write);
    process.send!({ began: token });
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    process.send!({ aborted: token });
  },
};

const jobs = runJobs({
  database,
  context: 'orders',
  jobs: [slow],
  holder: `process-${process.pid}`,
  tools: (guarded) => guarded,
  leaseMs: Number(leaseMs),
  pollMs: 100,
});
process.on('SIGTERM', async () => {
  await jobs.stop();
  await database.close();
  process.disconnect();
});
