/** The process role: leads its contexts' processes on, by events and by timers. */
import { systemClock } from '@caudal/kernel/time.ts';
import { runTimers } from '@caudal/processes/timers.ts';
import { processHandlers } from '../handlers.ts';
import type { Process } from '../process.ts';
import { subscribe } from '../subscribe.ts';

export async function startProcesses(process: Process): Promise<void> {
  const { lifecycle } = process;
  for (const local of process.locals) {
    const { context, database } = local;
    const handlers = await processHandlers(process, local);
    if (handlers.length === 0) continue;
    for (const handler of handlers) {
      const subscription = subscribe(process, context, database, handler);
      lifecycle.onStop(`process ${handler.name}`, () => subscription.stop());
    }
    const timers = runTimers({ database, handlers, clock: systemClock });
    lifecycle.onStop(`timers of ${context.name}`, () => timers.stop());
  }
}
