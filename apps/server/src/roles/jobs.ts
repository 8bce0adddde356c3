/** The jobs role: partitions ahead of need, and what has become old. */
import { startMaintenance } from '@caudal/eventlog/maintenance.ts';
import type { App } from '../app.ts';

export function startJobs({ locals, lifecycle }: App): void {
  for (const { context, database } of locals) {
    const maintenance = startMaintenance({ database, domain: context.name });
    lifecycle.onStop(`maintenance of ${context.name}`, () => maintenance.stop());
  }
}
