/**
 * Keeps what a process knows of the epochs of logs young enough to judge consistency tokens: one that only answers queries reads
 * no log by itself, and would not learn that a write was lost. See docs/fail-over.md, Consistency tokens.
 */
import { domainOf } from '@caudal/contract/entity.ts';
import { presentOf } from '@caudal/eventlog/epochs.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { within } from '@caudal/kernel/time.ts';
import { learnEpochs } from '@caudal/messaging/subscription/lost.ts';

/** What another reader of the process was told in this time counts, and an answer counts for as long again. */
const freshMs = 1_000;
/** No query waits longer for a log that does not answer, and then none for `freshMs`: what was known before counts. */
const answerMs = 500;

/** A write that a token names. */
type Write = { stream: string; epoch?: number | undefined };

export interface LogEpochs {
  /** The present epoch of the write's log, as far as this process knows, by the log or by the token itself. */
  of(write: Write): number;
  /**
   * Asks the logs of these writes, unless that was done in the last 2 s; or in the last second if a write names a later epoch than is
   * known. Never throws, and takes half a second at most.
   */
  learn(writes: Write[]): Promise<void>;
}

/** `until`: up to when it counts. `named`: the latest epoch that a token has named before. */
interface Learned {
  until: number;
  named: number;
  done: Promise<void>;
}

/** `logs`: by domain. */
export function logEpochs(logs: ReadonlyMap<string, LogReader>): LogEpochs {
  /** By domain. */
  const learned = new Map<string, Learned>();
  const numberOf = (domain: string) => presentOf(logs.get(domain)?.epochs?.() ?? []).number;

  async function ask(log: LogReader, withinMs: number, next: Learned): Promise<void> {
    // An error changes nothing of what is known. Who needs the log itself gets it there.
    await within(answerMs, learnEpochs(log, withinMs)).catch(() => {});
    next.until = performance.now() + freshMs;
  }

  function learn(domain: string, named: number): Promise<void> {
    const last = learned.get(domain);
    const known = numberOf(domain);
    if (last && last.until > performance.now() && named <= Math.max(known, last.named)) return last.done;
    const next: Learned = { until: Number.POSITIVE_INFINITY, named, done: Promise.resolve() };
    learned.set(domain, next);
    next.done = ask(logs.get(domain)!, named > known ? 0 : freshMs, next);
    return next.done;
  }

  return {
    of: ({ stream, epoch = 0 }) => Math.max(epoch, numberOf(domainOf(stream))),
    async learn(writes) {
      const named = new Map<string, number>();
      for (const { stream, epoch = 0 } of writes) {
        const domain = domainOf(stream);
        if (logs.get(domain)?.epochs) named.set(domain, Math.max(epoch, named.get(domain) ?? 0));
      }
      await Promise.all([...named].map(([domain, epoch]) => learn(domain, epoch)));
    },
  };
}
