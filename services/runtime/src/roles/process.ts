/** The process role: leads its contexts' processes on, by events and by timers. */
import { systemClock } from '@caudal/kernel/time.ts';
import { runTimers } from '@caudal/processes/timers.ts';
import { processHandlers } from '../handlers.ts';
import { watchLoop } from '../liveness.ts';
import type { Process } from '../process.ts';
import { subscribe } from '../subscribe.ts';

/** Timers look for what is due every second, and what they do meanwhile is bounded by far less. */
const STUCK_MS = 10 * 60_000;

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
    // They ask for the time whenever they look.
    const { watched, problem } = watchLoop(systemClock, STUCK_MS);
    const timers = runTimers({ database, handlers, clock: watched });
    lifecycle.addCheck(`timers of ${context.name}`, 'live', problem);
    lifecycle.onStop(`timers of ${context.name}`, () => timers.stop());
  }
}
