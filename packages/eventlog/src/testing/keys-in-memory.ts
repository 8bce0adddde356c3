/** The keys of persons without a database, shared by all that are opened of one store. */
import { randomBytes } from 'node:crypto';
import { dataKey } from '../personal/cipher.ts';
import type { PersonKey, PersonKeys } from '../personal/person-keys.ts';

export interface KeyStore {
  keys: Map<string, PersonKey>;
  /** As a process that has none in memory: each key must be loaded first. */
  open(): PersonKeys & { loads: number };
}

export function keysInMemory(): KeyStore {
  const keys = new Map<string, PersonKey>();
  return {
    keys,
    open() {
      const known = new Map<string, PersonKey>();
      const opened = {
        canMake: true,
        loads: 0,
        get size() {
          return known.size;
        },
        peek(persons: ReadonlySet<string>) {
          const found = [...persons].map((person) => [person, known.get(person)] as const);
          return found.every(([, key]) => key) ? new Map(found as [string, PersonKey][]) : undefined;
        },
        async load(persons: ReadonlySet<string>, { make = false }: { make?: boolean } = {}) {
          opened.loads += 1;
          await new Promise((resolve) => setImmediate(resolve));
          for (const person of persons) {
            if (make && !keys.has(person)) keys.set(person, { kind: 'key', ...dataKey(randomBytes(32)) });
            known.set(person, keys.get(person) ?? { kind: 'none' });
          }
          return new Map([...persons].map((person) => [person, known.get(person)!]));
        },
        forget: (person: string) => void known.delete(person),
        async destroy(person: string) {
          keys.set(person, { kind: 'erased' });
          known.set(person, { kind: 'erased' });
        },
        stop() {},
      };
      return opened;
    },
  };
}
