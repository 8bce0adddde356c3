/** The worker role: runs the continuous work of its contexts on stores of their own. */
import type { App } from '../app.ts';

/** What a worker holds is written, or goes back to its queue. */
const STOP_MS = 20_000;

export function startWorkers(app: App): void {
  const { lifecycle, stores, values } = app;
  for (const local of app.locals) {
    const { context, database } = local;
    const workers =
      context.workers?.({
        ...app.toolsOf(local),
        database,
        broker: stores.broker,
        signal: lifecycle.ending,
        embedded: values.DATABASE_URL === undefined,
      }) ?? [];
    for (const worker of workers)
      lifecycle.onStop(`worker of ${context.name}`, () => worker.stop(), { timeoutMs: STOP_MS });
  }
}
