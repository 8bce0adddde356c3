/**
 * Work under a lease that reads a log from a checkpoint on, and that goes on from where the log still has what was before, if the
 * log has lost its end. See docs/fail-over.md.
 */
import { endOf, presentOf } from '@caudal/eventlog/epochs.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { type Leadership, type LeaseOptions, whileLeading } from './lease.ts';
import { learnEpochs } from './subscription/lost.ts';

const logs = logger('lease');
const setBackTotal = counter(
  'checkpoints_set_back_total',
  'Checkpoints that were beyond the end of a log, after a fail-over that has lost events',
);

/**
 * Runs `work` as `whileLeading` does. Its signal also fires when the log's epoch changes: then it begins again, from a position that
 * the log has. Never throws. `followers`: checkpoints that go only as far as this one has been.
 */
export function whileReading(
  options: LeaseOptions & { log: LogReader; followers?: string[] },
  work: (lease: Leadership) => Promise<void>,
): Promise<void> {
  const { log, name, followers: names = [] } = options;
  return whileLeading(options, async (lease) => {
    const changed = new AbortController();
    const unlisten = log.onEpoch?.(() => changed.abort());
    try {
      await learnEpochs(log);
      const epochs = log.epochs?.() ?? [];
      const present = presentOf(epochs);
      const kept = endOf(epochs, lease.logEpoch);
      const position = Math.min(lease.position, kept);
      if (present.number !== lease.logEpoch.number && !(await lease.setBack(position, present, { names, kept })))
        return;
      if (position < lease.position) {
        setBackTotal.add(1, { domain: log.domain });
        logs.error(
          { lease: name, domain: log.domain, from: lease.position, to: position },
          'the log has lost events that were read before: it is read again from where it has kept them',
        );
      }
      if (changed.signal.aborted) return;
      const signal = AbortSignal.any([lease.signal, changed.signal]);
      await work({ ...lease, position, logEpoch: present, signal, advance: (to) => lease.advance(to, present.number) });
    } finally {
      unlisten?.();
    }
  });
}
