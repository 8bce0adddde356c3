/** A closed loop: a fixed number of clients, each of which begins its next operation when the last one has ended. */
import { percentile } from './figures.ts';

export interface Load {
  clients: number;
  seconds: number;
  /** One operation of one client. `turn`: how many this client has done before. An error ends the benchmark. */
  work(client: number, turn: number): Promise<unknown>;
}

export interface Measured {
  /** Operations per second. */
  rate: number;
  operations: number;
  /** The duration of an operation, in milliseconds. */
  p50: number;
  p99: number;
  max: number;
}

/** Runs the load. Only operations that began and ended within the time count. */
export async function closedLoop({ clients, seconds, work }: Load): Promise<Measured> {
  const began = performance.now();
  const endsAt = began + seconds * 1_000;
  const times: number[] = [];
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = 0; ; turn++) {
        const at = performance.now();
        if (at >= endsAt) return;
        await work(client, turn);
        const now = performance.now();
        if (now <= endsAt) times.push(now - at);
      }
    }),
  );
  const sorted = Float64Array.from(times).sort();
  return {
    rate: sorted.length / seconds,
    operations: sorted.length,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
  };
}

/**
 * Rounds in which the contenders alternate, so that a drift of the machine affects all of them. Each round begins with
 * another contender. One round before is a warm-up. Returns the values of each contender, one per round.
 */
export async function takeTurns<Name extends string, T>(
  contenders: Record<Name, () => Promise<T>>,
  options: { rounds: number; say(what: string): void },
): Promise<Record<Name, T[]>> {
  const names = Object.keys(contenders) as Name[];
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, T[]>;
  for (let round = 0; round <= options.rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length]!;
      options.say(round === 0 ? `warm-up: ${name}` : `round ${round} of ${options.rounds}: ${name}`);
      const result = await contenders[name]();
      if (round > 0) results[name].push(result);
    }
  }
  return results;
}
