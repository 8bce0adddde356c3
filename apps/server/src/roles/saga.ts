/** The saga role: runs its contexts' sagas, by events and by timers. */
import { systemClock } from '@caudal/kernel/time.ts';
import { runTimers } from '@caudal/sagas/timers.ts';
import type { App } from '../app.ts';
import { sagaHandlers } from '../handlers/handlers.ts';
import { watchRounds } from '../handlers/liveness.ts';
import { subscribe } from '../handlers/subscribe.ts';

/** Each loop of the timers makes a round every second, and a round takes far less than this. */
const STUCK_MS = 10 * 60_000;

export async function startSagas(app: App): Promise<void> {
  const { lifecycle } = app;
  for (const local of app.locals) {
    const { context, database } = local;
    const handlers = await sagaHandlers(app, local);
    if (handlers.length === 0) continue;
    for (const handler of handlers) {
      const subscription = subscribe(app, context, database, handler);
      lifecycle.onStop(`saga ${handler.name}`, () => subscription.stop());
    }
    const { onRound, problem } = watchRounds(['poll', ...handlers.map(({ name }) => name)], STUCK_MS);
    const timers = runTimers({ database, handlers, clock: systemClock, onRound });
    lifecycle.addCheck(`timers of ${context.name}`, 'live', problem);
    lifecycle.onStop(`timers of ${context.name}`, () => timers.stop());
  }
}
