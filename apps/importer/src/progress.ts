/** Shows the progress of an import: a bar on a terminal, lines at intervals in a log. */
import type { Clock } from '@caudal/kernel/time.ts';
import { Presets, SingleBar } from 'cli-progress';

export interface ProgressOptions {
  /** The output: standard error, so a report on standard output stays clean. */
  stream: NodeJS.WriteStream;
  clock: Clock;
}

/** The progress: `done` of `total` items of this step. */
interface Progress {
  step: string;
  done: number;
  total: number;
}

export interface ProgressDisplay {
  update(progress: Progress): void;
  /** Leaves the terminal as it was. */
  stop(): void;
}

const LINE_EVERY_MS = 5_000;

/** A display that fits the stream. */
export function createProgress(options: ProgressOptions): ProgressDisplay {
  return options.stream.isTTY ? bars(options) : lines(options);
}

/** A bar for each step, below those of the steps before it. */
function bars({ stream }: ProgressOptions): ProgressDisplay {
  let current: { step: string; bar: SingleBar } | undefined;
  const stop = () => {
    current?.bar.stop();
    current = undefined;
  };
  return {
    stop,
    update({ step, done, total }) {
      if (current?.step !== step) {
        stop();
        const format = `${step.padEnd(9)} {bar} {value}/{total}  {duration_formatted}`;
        const bar = new SingleBar({ stream, format, hideCursor: true }, Presets.shades_classic);
        bar.start(total, done);
        current = { step, bar };
      }
      current.bar.update(done);
    },
  };
}

function lines({ stream, clock }: ProgressOptions): ProgressDisplay {
  let next = 0;
  return {
    update({ step, done, total }) {
      const now = clock().getTime();
      if (now < next && done < total) return;
      next = now + LINE_EVERY_MS;
      stream.write(`${step}: ${done} of ${total}\n`);
    },
    stop() {},
  };
}
