/** Which seed is next: today's, the one that was asked for, or in the long form the one after those that were done. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../../e2e/part.ts';

export interface Run {
  seed: number;
  /** How long things are broken. */
  minutes: number;
  /** At most this many faults. */
  limit: number;
  /** Notes that the run has held with this many faults; says how far the long form is. */
  done(faults: number): string;
}

interface Progress {
  runs: { seed: number; faults: number }[];
}

const file = join(root, '.caudal/faults/progress.json');

/** The run that the variables ask for, as `npm run test:faults` sets them. */
export function nextRun({ FAULTS_SEED, FAULTS_MINUTES, FAULTS_TOTAL }: NodeJS.ProcessEnv): Run {
  // A day's runs are the same everywhere, and tomorrow's are others.
  const seed = Number(FAULTS_SEED ?? new Date().toISOString().slice(0, 10).replaceAll('-', ''));
  if (!FAULTS_TOTAL)
    return { seed, minutes: Number(FAULTS_MINUTES ?? 10), limit: Number.POSITIVE_INFINITY, done: () => '' };

  const { runs }: Progress = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { runs: [] };
  const before = runs.reduce((sum, { faults }) => sum + faults, 0);
  return {
    seed: FAULTS_SEED ? seed : (runs.at(-1)?.seed ?? 0) + 1,
    minutes: Number(FAULTS_MINUTES ?? 60),
    limit: Math.max(0, Number(FAULTS_TOTAL) - before),
    done(faults) {
      mkdirSync(dirname(file), { recursive: true });
      const all = [...runs, { seed: this.seed, faults }];
      writeFileSync(file, JSON.stringify({ runs: all }));
      return `${before + faults} of ${FAULTS_TOTAL} faults so far, over ${all.length} runs`;
    },
  };
}
