/** The saga role: runs its contexts' sagas, by events and by timers. */
import { domainsOf } from '@caudal/contract/entity.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep, systemClock, within } from '@caudal/kernel/time.ts';
import { watchSagaLosses } from '@caudal/sagas/losses.ts';
import { readEnd, recordStarts } from '@caudal/sagas/start-positions.ts';
import { runTimers } from '@caudal/sagas/timers.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { App } from '../app.ts';
import { sagaDefinitions } from '../handlers/definitions.ts';
import { sagaHandlers } from '../handlers/handlers.ts';
import { watchRounds } from '../handlers/liveness.ts';
import { subscribe } from '../handlers/subscribe.ts';
import type { LocalContext } from '../local-context.ts';

const log = logger('saga');

/** In an embedded system no other process sets timers: an idle one shall take next to no processor time. */
const EMBEDDED_EVERY_MS = 5_000;
/** Each loop of the timers makes a round every few seconds, and a round takes far less than this. */
const STUCK_MS = 10 * 60_000;
/** How long a start waits for queues to be bound. Without the broker, or a log of another deployment, it goes on. */
const BIND_MS = 10_000;

/** Migrating the database has recorded where sagas begin, but of the logs of this deployment only. */
async function recordMissing(app: App, { context, database }: LocalContext): Promise<void> {
  const { values, lifecycle } = app;
  const sagas = await sagaDefinitions(context, values);
  const logs = app.logsFor(context, new Set(sagas.flatMap(({ entities }) => [...domainsOf(entities)])));
  const headOf = (domain: string) => readEnd(logs.get(domain)!);
  for (let attempt = 1; !lifecycle.ending.aborted; attempt++) {
    try {
      await recordStarts({ database, sagas, headOf });
      return;
    } catch (error) {
      if (!isTransient(error)) throw error;
      log.warn({ context: context.name, err: error }, 'where sagas begin is not known yet: trying again');
      await sleep(backoffMs(attempt, { firstMs: 500, maxMs: 10_000 }), lifecycle.ending);
    }
  }
}

/** Starts all sagas; returns once their queues are bound, so that no event is published past them. */
export async function startSagas(app: App): Promise<void> {
  const { lifecycle } = app;
  const bound: Promise<void>[] = [];
  const everyMs = app.values.DATABASE_URL === undefined ? EMBEDDED_EVERY_MS : undefined;
  for (const local of app.locals) {
    const { context, database } = local;
    await recordMissing(app, local);
    const handlers = await sagaHandlers(app, local);
    if (handlers.length === 0) continue;
    for (const handler of handlers) {
      const subscription = subscribe(app, context, database, handler);
      bound.push(subscription.ready);
      lifecycle.onStop(`saga ${handler.name}`, () => subscription.stop());
      const logs = app.logsFor(context, domainsOf(handler.entities));
      const losses = watchSagaLosses({ handler, logs, database, holder: app.holder });
      lifecycle.onStop(`losses of ${handler.name}`, () => losses.stop());
    }
    const { onRound, problem } = watchRounds(['poll', ...handlers.map(({ name }) => name)], STUCK_MS);
    const timers = runTimers({ database, handlers, clock: systemClock, everyMs, onRound });
    lifecycle.addCheck(`timers of ${context.name}`, 'live', problem);
    lifecycle.onStop(`timers of ${context.name}`, () => timers.stop());
  }
  if (!(await within(BIND_MS, Promise.all(bound), lifecycle.ending)) && !lifecycle.ending.aborted)
    log.warn('queues of sagas are not bound yet: events that are published until then wait for reconciliation');
}
