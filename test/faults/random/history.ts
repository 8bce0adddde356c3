/** What clients asked for, and what they were told: the record that is held against the logs afterwards. */
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { Json } from '../../e2e/api.ts';

/** `unknown`: nobody answered, or the answer leaves open whether it happened. */
export type Outcome = 'done' | 'refused' | 'unknown';

export interface Operation {
  /** Travels as the causation id, so that its events are found in the logs. */
  id: string;
  client: string;
  method: string;
  request: Json;
  /** Milliseconds since the run began. */
  began: number;
  ended: number;
  outcome: Outcome;
  /** Of the last attempt; 0 if nobody answered. */
  status: number;
  reason: string;
  attempts: Attempt[];
}

/** One call: which process it went to, and how long that took. */
export interface Attempt {
  part: string;
  began: number;
  ended: number;
  status: number;
  /** The answer's reason, or what broke the call off. */
  reason: string;
}

export interface History {
  operations: Operation[];
  /** What was broken, as lines for people. */
  faults: string[];
  add(operation: Operation): void;
  note(fault: string): void;
  /** Milliseconds since the run began. */
  now(): number;
  close(): Promise<void>;
}

/** Kept in memory for the checks, and in the file, a line of JSON an entry, for whoever looks for a cause. */
export function createHistory(file: string): History {
  const stream = createWriteStream(file);
  const began = performance.now();
  const operations: Operation[] = [];
  const faults: string[] = [];
  const now = () => Math.round(performance.now() - began);
  return {
    operations,
    faults,
    now,
    add(operation) {
      operations.push(operation);
      stream.write(`${JSON.stringify(operation)}\n`);
    },
    note(fault) {
      faults.push(fault);
      stream.write(`${JSON.stringify({ at: now(), fault })}\n`);
    },
    async close() {
      stream.end();
      await finished(stream);
    },
  };
}
