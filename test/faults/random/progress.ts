/** Which seed is next: today's, the given one, or in the long form the one after those that are done. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from '../../e2e/part.ts';

export interface Run {
  seed: number;
  /** For how long there are faults. */
  minutes: number;
  /** At most this many faults. */
  limit: number;
  /** Records that the run has passed with this many faults. Returns the progress of the long form. */
  done(faults: number): string;
}

interface Progress {
  runs: { seed: number; faults: number }[];
}

const file = join(root, '.caudal/faults/progress.json');

/** The run that the variables describe, as `npm run test:faults` sets them. */
export function nextRun({ FAULTS_SEED, FAULTS_MINUTES, FAULTS_TOTAL }: NodeJS.ProcessEnv): Run {
  // All runs of one day have the same seed; the next day's is another.
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
