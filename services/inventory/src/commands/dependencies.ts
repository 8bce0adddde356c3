/** The dependencies of the inventory's commands. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import type { Clock } from '@caudal/kernel/time.ts';

export interface InventoryDependencies {
  aggregates: Aggregates;
  clock: Clock;
  /** The most lines that are one unit of the log; as many as a unit may have if absent. */
  linesAUnit?: number;
}
