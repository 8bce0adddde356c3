/** The commands of the clients, with their answers: the record with which the logs are compared afterwards. */
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { Json } from '../../e2e/api.ts';

/** `unknown`: there was no answer, or the answer leaves open whether the command was done. */
export type Outcome = 'done' | 'refused' | 'unknown';

export interface Operation {
  /** It is also the causation id, so that the command's events can be found in the logs. */
  id: string;
  client: string;
  method: string;
  request: Json;
  /** Milliseconds since the run began. */
  began: number;
  ended: number;
  outcome: Outcome;
  /** The status of the last attempt; 0 if there was no answer. */
  status: number;
  reason: string;
  attempts: Attempt[];
}

/** One call: which process it was sent to, and how long it took. */
export interface Attempt {
  part: string;
  began: number;
  ended: number;
  status: number;
  /** The reason in the answer, or of the broken connection. */
  reason: string;
}

export interface History {
  operations: Operation[];
  /** The faults, as readable lines. */
  faults: string[];
  add(operation: Operation): void;
  note(fault: string): void;
  /** Milliseconds since the run began. */
  now(): number;
  close(): Promise<void>;
}

/** Keeps the history in memory for the checks, and in the file for debugging: one line of JSON per entry. */
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
