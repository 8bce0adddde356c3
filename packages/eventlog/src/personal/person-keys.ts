/**
 * The keys of persons: a row each in the table `person_keys` beside the log, wrapped. Keys are in memory, unwrapped, for a bounded
 * time: that is how long a process may still have one that another process has destroyed. See docs/personal-data.md.
 */
import { randomBytes } from 'node:crypto';
import { byteaArray, textArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { type DataKey, dataKey } from './cipher.ts';
import { type KeyWrapping, withDeadline } from './wrapping.ts';

/**
 * What is known of a person's key. `none`: there is no row. `locked`: it is wrapped with a key that this process lacks.
 * `erased`: it was destroyed.
 */
export type PersonKey = ({ kind: 'key' } & DataKey) | { kind: 'none' | 'locked' | 'erased' };

/** Keys by the ids of persons. */
export type KeysOf = ReadonlyMap<string, PersonKey>;

export interface PersonKeys {
  /** The keys of these persons, if all of them are in memory. */
  peek(persons: ReadonlySet<string>): KeysOf | undefined;
  /**
   * The keys of these persons, read in one statement as far as they are not in memory. `make`: those that are missing are made,
   * unless this process can't wrap keys. `afresh`: also those in memory. Errors: UNAVAILABLE; an Error on a key that was changed.
   */
  load(persons: ReadonlySet<string>, options?: { make?: boolean; afresh?: boolean }): Promise<KeysOf>;
  /** Whether this process can make keys. */
  readonly canMake: boolean;
  /** Drops a person's key from memory. */
  forget(person: string): void;
  /** Destroys the key of a stream's person, as the event of the erasure in it does: for one that a backup has brought back. UNAVAILABLE. */
  destroy(person: string, stream: string): Promise<void>;
  /** How many are in memory. */
  readonly size: number;
  /** Drops all keys. */
  stop(): void;
}

export interface PersonKeysOptions {
  /** That of the log. */
  database: Transaction;
  /** Absent: keys can be neither made nor unwrapped. */
  wrapping: KeyWrapping | undefined;
  /** How long a key is in memory, in milliseconds; 60,000 if absent. */
  keepMs?: number;
  /** How many are in memory; 10,000 if absent. */
  most?: number;
  /** Milliseconds of a clock that never goes back. */
  elapsed?(): number;
}

/** The most persons of one statement. */
const maxPersons = 256;

interface Request {
  persons: string[];
  make: boolean;
  resolve(keys: Map<string, PersonKey>): void;
  reject(error: unknown): void;
}

interface Row {
  person: string;
  wrapped: Buffer | null;
  wrapped_by: string;
}

const columns = 'person, wrapped, wrapped_by';
const findText = `SELECT ${columns} FROM person_keys WHERE person = ANY($1::text[])`;
// A row that another process has made at the same moment may be in neither half: it is read again.
const makeText = `SELECT ${columns} FROM make_person_keys($1::text[], $2::bytea[], $3)`;

export function openPersonKeys(options: PersonKeysOptions): PersonKeys {
  const { database, keepMs = 60_000, most = 10_000, elapsed = () => performance.now() } = options;
  const wrapping = options.wrapping && withDeadline(options.wrapping);
  // All are kept equally long, so the first one ends first.
  const kept = new Map<string, { key: PersonKey; untilMs: number }>();
  let sweep: NodeJS.Timeout | undefined;
  const gathered: Request[] = [];
  let running = false;

  function dropExpired(): void {
    sweep = undefined;
    const now = elapsed();
    for (const [person, { untilMs }] of kept) {
      if (untilMs > now) break;
      kept.delete(person);
    }
    const [first] = kept.values();
    if (first) sweep = setTimeout(dropExpired, Math.max(1_000, first.untilMs - now)).unref();
  }

  function keep(person: string, key: PersonKey): void {
    kept.delete(person);
    kept.set(person, { key, untilMs: elapsed() + keepMs });
    if (kept.size > most) kept.delete(kept.keys().next().value!);
    sweep ??= setTimeout(dropExpired, keepMs).unref();
  }

  function known(person: string): PersonKey | undefined {
    const found = kept.get(person);
    return found && found.untilMs > elapsed() ? found.key : undefined;
  }

  async function unwrapped({ person, wrapped, wrapped_by: by }: Row): Promise<PersonKey> {
    if (!wrapped) return { kind: 'erased' };
    const key = await wrapping?.unwrap({ wrapped, by }, person);
    return key ? { kind: 'key', ...dataKey(key) } : { kind: 'locked' };
  }

  const find = (persons: string[]) =>
    database.query<Row>({ name: 'person-keys-find', text: findText, values: [textArray(persons)] });

  async function make(persons: string[], by: KeyWrapping): Promise<Row[]> {
    const wrapped = await Promise.all(persons.map((person) => by.wrap(randomBytes(32), person)));
    const values = [textArray(persons), byteaArray(wrapped), by.current];
    const rows = await database.query<Row>({ name: 'person-keys-make', text: makeText, values });
    const others = persons.filter((person) => !rows.some((row) => row.person === person));
    return others.length > 0 ? [...rows, ...(await find(others))] : rows;
  }

  /** Reads keys, and makes those that are missing and may be made. */
  async function readKeys(requests: Request[]): Promise<Map<string, PersonKey>> {
    const persons = [...new Set(requests.flatMap((request) => request.persons))];
    const toMake = new Set(requests.flatMap((request) => (request.make ? request.persons : [])));
    let rows = await find(persons);
    const isMissing = (person: string) => toMake.has(person) && !rows.some((row) => row.person === person);
    const missing = persons.filter(isMissing);
    if (wrapping && missing.length > 0) rows = [...rows, ...(await make(missing, wrapping))];
    const byPerson = new Map(rows.map((row) => [row.person, row]));
    const keys = new Map<string, PersonKey>();
    for (const person of persons) {
      const row = byPerson.get(person);
      const key: PersonKey = row ? await unwrapped(row) : { kind: 'none' };
      keep(person, key);
      keys.set(person, key);
    }
    return keys;
  }

  /** Requests that arrive while a statement is in flight share the next one. */
  async function run(): Promise<void> {
    while (gathered.length > 0) {
      const batch = gathered.splice(0, 1);
      let count = batch[0]!.persons.length;
      for (let next = gathered[0]; next && count + next.persons.length <= maxPersons; next = gathered[0]) {
        batch.push(gathered.shift()!);
        count += next.persons.length;
      }
      try {
        const keys = await readKeys(batch);
        for (const { resolve } of batch) resolve(keys);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    running = false;
  }

  const read = (persons: string[], make: boolean) =>
    new Promise<Map<string, PersonKey>>((resolve, reject) => {
      gathered.push({ persons, make, resolve, reject });
      if (running) return;
      running = true;
      queueMicrotask(run);
    });

  return {
    peek(persons) {
      const found = new Map<string, PersonKey>();
      for (const person of persons) {
        const key = known(person);
        if (!key) return undefined;
        found.set(person, key);
      }
      return found;
    },
    async load(persons, { make: mayMake = false, afresh = false } = {}) {
      const found = new Map<string, PersonKey>();
      const missing: string[] = [];
      for (const person of persons) {
        const key = afresh ? undefined : known(person);
        if (key && !(mayMake && key.kind === 'none')) found.set(person, key);
        else missing.push(person);
      }
      if (missing.length === 0) return found;
      const keys = await read(missing, mayMake);
      for (const person of missing) found.set(person, keys.get(person)!);
      return found;
    },
    canMake: wrapping !== undefined,
    forget: (person) => void kept.delete(person),
    async destroy(person, stream) {
      await database.query({ name: 'person-keys-destroy', text: 'SELECT destroy_person_key($1)', values: [stream] });
      keep(person, { kind: 'erased' });
    },
    get size() {
      return kept.size;
    },
    stop() {
      clearTimeout(sweep);
      kept.clear();
    },
  };
}

/** The names of the keys that have wrapped the keys of persons. */
export async function wrappingKeysInUse(database: Transaction): Promise<string[]> {
  // From one name to the next by the index, past all rows between them.
  const next = (after: string) =>
    `SELECT k.wrapped_by FROM person_keys k WHERE k.wrapped IS NOT NULL ${after} ORDER BY k.wrapped_by LIMIT 1`;
  const rows = await database.query<{ wrapped_by: string }>({
    text: `WITH RECURSIVE used AS (
        (${next('')})
        UNION ALL SELECT (${next('AND k.wrapped_by > used.wrapped_by')}) FROM used WHERE used.wrapped_by IS NOT NULL)
      SELECT wrapped_by FROM used WHERE wrapped_by IS NOT NULL LIMIT 100`,
  });
  return rows.map(({ wrapped_by }) => wrapped_by);
}
