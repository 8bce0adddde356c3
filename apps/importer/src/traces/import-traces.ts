/** Sends the traces of a file to a running system, in batches, and says what became of each line. */
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, type Clock, sleep } from '@caudal/kernel/time.ts';
import type { FileTrace } from './read-trace.ts';
import type { TraceLine } from './read-traces.ts';

/** What the system says of one trace. */
export interface SentTrace {
  outcome: 'ACCEPTED' | 'DUPLICATE' | 'REFUSED';
  /** Why it was refused. */
  problem?: string;
}

export interface ImportTracesOptions {
  lines: AsyncIterable<TraceLine>;
  /** Sends at most 1,000 traces; the answer has their order. Throws CaudalError. */
  send(traces: FileTrace[]): Promise<SentTrace[]>;
  /** Batches in flight. */
  concurrency: number;
  clock: Clock;
  /** Ends it after the batches in flight. */
  signal: AbortSignal;
  /** How long a system that is full or away is waited for; 10 minutes if absent. */
  patienceMs?: number;
}

export interface LineProblem {
  line: number;
  field: string;
  problem: string;
}

export interface TracesReport {
  lines: number;
  accepted: number;
  /** Twice in one call. What the system knows from before counts as accepted, and changes nothing. */
  duplicates: number;
  /** Lines that are wrong, or that the system has refused. */
  refused: number;
  /** The first of these, by line. */
  problems: LineProblem[];
  /** It was interrupted. It may be started again: what was sent changes nothing. */
  interrupted: boolean;
}

type GoodLine = Extract<TraceLine, { trace: FileTrace }>;

const batchSize = 1_000;
/** A call takes a mebibyte. */
const batchBytes = 900_000;
const maxProblems = 100;
const pauses = { firstMs: 200, maxMs: 10_000 };
const defaultPatienceMs = 600_000;

/** Imports all lines. Throws if the file can't be read, or if the system refuses a call or stays away. */
export async function importTraces(options: ImportTracesOptions): Promise<TracesReport> {
  const { lines, concurrency, signal } = options;
  const report: TracesReport = { lines: 0, accepted: 0, duplicates: 0, refused: 0, problems: [], interrupted: false };
  const inFlight = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;

  const refuse = (problem: LineProblem) => {
    report.refused += 1;
    report.problems = [...report.problems, problem].sort((a, b) => a.line - b.line).slice(0, maxProblems);
  };

  async function sendBatch(batch: GoodLine[]): Promise<void> {
    const results = await sendPatiently(
      options,
      batch.map(({ trace }) => trace),
    );
    for (const [n, { line }] of batch.entries()) {
      const { outcome, problem } = results[n] ?? { outcome: 'REFUSED', problem: 'The system did not answer for it.' };
      if (outcome === 'ACCEPTED') report.accepted += 1;
      else if (outcome === 'DUPLICATE') report.duplicates += 1;
      else refuse({ line, field: '', problem: problem ?? 'The system has refused it.' });
    }
  }

  /** Begins a batch as soon as fewer than `concurrency` are in flight. */
  async function begin(batch: GoodLine[]): Promise<void> {
    while (inFlight.size >= concurrency) await Promise.race(inFlight);
    const sending: Promise<void> = sendBatch(batch)
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => inFlight.delete(sending));
    inFlight.add(sending);
  }

  let batch: GoodLine[] = [];
  let bytes = 0;
  try {
    for await (const line of lines) {
      if (signal.aborted || failure) break;
      report.lines += 1;
      if ('trace' in line) {
        batch.push(line);
        bytes += Buffer.byteLength(JSON.stringify(line.trace));
      } else refuse({ line: line.line, field: line.field, problem: line.problem });
      if (batch.length < batchSize && bytes < batchBytes) continue;
      await begin(batch);
      batch = [];
      bytes = 0;
    }
    if (batch.length > 0 && !signal.aborted && !failure) await begin(batch);
  } finally {
    await Promise.all(inFlight);
  }
  report.interrupted = signal.aborted;
  if (failure && !report.interrupted) throw failure.error;
  return report;
}

/** Repeats while the system is full or away: a trace that it had taken already counts once. */
async function sendPatiently(options: ImportTracesOptions, traces: FileTrace[]): Promise<SentTrace[]> {
  const { send, clock, signal, patienceMs = defaultPatienceMs } = options;
  const until = clock().getTime() + patienceMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await send(traces);
    } catch (error) {
      if (!isTransient(error) || signal.aborted || clock().getTime() >= until) throw error;
      await sleep(error.retryAfterMs ?? backoffMs(attempt, pauses), signal);
    }
  }
}
