/** How many reads are under way at once, and how many keys one of them has at most. */
const defaultAtOnce = 4;
const defaultMost = 64;

export interface GatheredReads<Value> {
  /** Reads these different keys; what is not there is missing in the answer. */
  readMany(keys: string[]): Promise<ReadonlyMap<string, Value>>;
  atOnce?: number;
  most?: number;
}

interface Waiting<Value> {
  resolve(value: Value | undefined): void;
  reject(error: unknown): void;
}

/**
 * Reads by key of which many are asked for at once. While `atOnce` reads are under way, further keys wait and share the next one: so
 * reads grow with the load, and one that comes alone waits for nothing. A key is read by a read that begins after it was asked for. If a
 * read fails, all of its keys do. How many wait is bounded by the calls that a process takes.
 */
export function gatherReads<Value>({
  readMany,
  atOnce = defaultAtOnce,
  most = defaultMost,
}: GatheredReads<Value>): (key: string) => Promise<Value | undefined> {
  let waiting = new Map<string, Waiting<Value>[]>();
  let reading = 0;

  async function read(batch: Map<string, Waiting<Value>[]>): Promise<void> {
    try {
      const found = await readMany([...batch.keys()]);
      for (const [key, all] of batch) for (const { resolve } of all) resolve(found.get(key));
    } catch (error) {
      for (const all of batch.values()) for (const { reject } of all) reject(error);
    }
  }

  /** The next keys; the others go on waiting. */
  function taken(): Map<string, Waiting<Value>[]> {
    if (waiting.size <= most) {
      const all = waiting;
      waiting = new Map();
      return all;
    }
    const batch = new Map([...waiting].slice(0, most));
    for (const key of batch.keys()) waiting.delete(key);
    return batch;
  }

  async function work(): Promise<void> {
    reading++;
    while (waiting.size > 0) await read(taken());
    reading--;
  }

  return (key) =>
    new Promise((resolve, reject) => {
      const known = waiting.get(key);
      if (known) known.push({ resolve, reject });
      else waiting.set(key, [{ resolve, reject }]);
      if (reading < atOnce) void work();
    });
}
