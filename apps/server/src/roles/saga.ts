/** The saga role: runs its contexts' sagas, by events and by timers. */
import { systemClock } from '@caudal/kernel/time.ts';
import { runTimers } from '@caudal/sagas/timers.ts';
import type { App } from '../app.ts';
import { sagaHandlers } from '../handlers/handlers.ts';
import { watchRounds } from '../handlers/liveness.ts';
import { subscribe } from '../handlers/subscribe.ts';

/** In an embedded system no other process sets timers: an idle one shall take next to no processor time. */
const EMBEDDED_EVERY_MS = 5_000;
/** Each loop of the timers makes a round every few seconds, and a round takes far less than this. */
const STUCK_MS = 10 * 60_000;

export async function startSagas(app: App): Promise<void> {
  const { lifecycle } = app;
  const everyMs = app.values.DATABASE_URL === undefined ? EMBEDDED_EVERY_MS : undefined;
  for (const local of app.locals) {
    const { context, database } = local;
    const handlers = await sagaHandlers(app, local);
    if (handlers.length === 0) continue;
    for (const handler of handlers) {
      const subscription = subscribe(app, context, database, handler);
      lifecycle.onStop(`saga ${handler.name}`, () => subscription.stop());
    }
    const { onRound, problem } = watchRounds(['poll', ...handlers.map(({ name }) => name)], STUCK_MS);
    const timers = runTimers({ database, handlers, clock: systemClock, everyMs, onRound });
    lifecycle.addCheck(`timers of ${context.name}`, 'live', problem);
    lifecycle.onStop(`timers of ${context.name}`, () => timers.stop());
  }
}
