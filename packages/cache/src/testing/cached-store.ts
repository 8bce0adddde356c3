/** A store of one view for tests of caches, whose loads can be delayed. */
import { sleep } from '@caudal/kernel/time.ts';
import { jsonCodec } from '../codec.ts';
import type { Read } from '../types.ts';

export interface View {
  name: string;
}

export const codec = jsonCodec<View>({ toJSON: (view) => view, fromJSON: (json) => json as View });

export function store(version = 1) {
  const state = {
    version,
    loads: 0,
    exists: true,
    error: undefined as unknown,
    gate: undefined as Promise<void> | undefined,
  };
  const load = async () => {
    state.loads++;
    const seen = { value: { name: `v${state.version}` }, version: state.version };
    const { exists, error, gate } = state;
    await gate;
    if (error) throw error;
    return exists ? seen : undefined;
  };
  const read = (more: Partial<Read<View>> = {}): Read<View> => ({ key: 'a', ttlMs: 60_000, load, codec, ...more });
  /** Delays the loads that begin from now on; returns a function that releases them. */
  const hold = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    state.gate = promise;
    return () => {
      state.gate = undefined;
      resolve();
    };
  };
  return { state, read, hold };
}

/** Repeats the check until it passes, for at most 5 s. */
export async function eventually(check: () => unknown): Promise<void> {
  const end = Date.now() + 5_000;
  while (!(await check())) {
    if (Date.now() > end) throw new Error('the check did not pass within 5 s');
    await sleep(5);
  }
}
