/** The types of a benchmark and of its figures. */
import type { ServerName } from '@caudal/testing/servers.ts';

/** A figure: `append.vs-emmett.64 = 9.1 x (8.4-9.9), goal >= 8`. */
export interface Figure {
  bench: string;
  metric: string;
  /** The median of the rounds. */
  value: number;
  /** `x` for a ratio; `/s`, `ms`, `MiB`, `s`; `%` of one core, or of what the metric names. */
  unit: string;
  /** The smallest and the largest round, if there was more than one. */
  spread?: [min: number, max: number];
  goal?: Goal;
}

export interface Goal {
  /** `atLeast`: the more the better. */
  kind: 'atLeast' | 'atMost';
  value: number;
}

export interface Tools {
  /** Rounds are fewer and shorter: to check that it runs, not for figures to quote. */
  quick: boolean;
  /** Where a benchmark has a longer form, it takes that. */
  long: boolean;
  /** Shows the progress to the person who waits. */
  say(what: string): void;
}

export interface Bench {
  /** The NAME of `npm run bench -- NAME`. */
  name: string;
  title: string;
  /** What is compared, and why that is fair: the text above the table. */
  compares: string;
  needs: ServerName[];
  run(tools: Tools): Promise<Figure[]>;
}
