/** A command in the queues of its streams: from its arrival to its answer. */
import type { AnyUnit, Entry, Job } from './entry.ts';
import { commandsInFlight, countCommand } from './metrics.ts';
import type { ExecutedUnit } from './types.ts';

/** A command that has just arrived. `onEnd` is called when its caller gets the answer. */
export function newJob(entries: Entry[], unit: AnyUnit, onEnd: () => void) {
  const { name } = unit.parts[0]!.decider.entity;
  const { promise: answered, resolve, reject } = Promise.withResolvers<ExecutedUnit<unknown>>();
  const end = () => {
    job.done = true;
    onEnd();
    commandsInFlight.add(-1);
  };
  const job: Job = {
    unit,
    entries,
    number: 0,
    outside: false,
    sent: false,
    done: false,
    contended: 0,
    lost: entries.map(() => 0),
    claimed: 0,
    resolve(executed) {
      end();
      countCommand(name, executed.repeated ? 'repeated' : 'done');
      resolve(executed);
    },
    reject(error) {
      end();
      countCommand(name, { error });
      reject(error);
    },
  };
  commandsInFlight.add(1);
  return { job, answered };
}
