/**
 * Seals the content of rows beside the log with the key of the person it belongs to: what is no event, such as a cart. An erasure of the
 * person destroys it like texts of events. See docs/personal-data.md.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import { decrypt, encrypt } from './cipher.ts';
import type { PersonKeys } from './person-keys.ts';

/** Seals and opens the rows of one person. */
export interface RowSeal {
  seal(bytes: Uint8Array): Buffer;
  /** Throws an Error if the bytes were changed, or sealed for another person or place. */
  open(bytes: Uint8Array): Uint8Array;
}

/** The seal of a person; undefined if the person was erased. UNAVAILABLE if the key can't be read, or not be used by this process. */
export type RowSeals = (person: string) => Promise<RowSeal | undefined>;

export interface RowSealsOptions {
  keys: Pick<PersonKeys, 'load'>;
  /** Without keys rows are written as they are. */
  writePlain: boolean;
  /** Whose rows they are: `carts`. */
  place: string;
}

const plainMark = 0;
const sealedMark = 1;

export function openRowSeals({ keys, writePlain, place }: RowSealsOptions): RowSeals {
  return async (person) => {
    const key = (await keys.load(new Set([person]), { make: true })).get(person)!;
    if (key.kind === 'erased') return undefined;
    if (key.kind === 'key') return sealWith(key.key, [place, person]);
    if (key.kind === 'none' && writePlain) return plain;
    throw unavailable('the key of personal data');
  };
}

/** Rows under this key of 32 bytes. `boundTo`: what they can't be opened without. */
export function sealWith(key: Uint8Array, boundTo: string[]): RowSeal {
  const place = ['row', ...boundTo];
  return {
    seal: (bytes) => Buffer.concat([Buffer.of(sealedMark), encrypt(key, bytes, place)]),
    open: (bytes) => (bytes[0] === plainMark ? bytes.subarray(1) : decrypt(key, bytes.subarray(1), place)),
  };
}

const plain: RowSeal = {
  seal: (bytes) => Buffer.concat([Buffer.of(plainMark), bytes]),
  open(bytes) {
    if (bytes[0] !== plainMark) throw unavailable('the key of personal data');
    return bytes.subarray(1);
  },
};
