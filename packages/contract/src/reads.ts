/** How a query is read and its answers are cached: reads and checks `(caudal.reads)`. */
import type { Access } from './access.ts';
import type { HttpRule } from './http-rule.ts';

/** In the order of caudal.ReadStrength's numbers from 1. */
export const readStrengths = ['ONE', 'AT_LEAST', 'QUORUM', 'STRONG'] as const;
export type ReadStrength = (typeof readStrengths)[number];

/** A day: more would outlive the people who remember why. */
const maxSeconds = 86_400;

export interface Reads {
  /** Undefined: AT_LEAST with a consistency token, ONE without. */
  strength: ReadStrength | undefined;
  /** The same for all callers that have the permission: shared caches may keep it. */
  shared: boolean;
  maxAgeSeconds: number;
  staleWhileRevalidateSeconds: number;
  staleIfErrorSeconds: number;
}

/** A caudal.Reads as read from the descriptors. */
export type ReadsMessage = Omit<Reads, 'strength'> & { strength: number };

/** The parts of the method that the option must fit. */
export interface ReadsOf {
  path: string;
  http: HttpRule[];
  access: Access;
  noSideEffects: boolean;
  /** Whether its answers have personal fields. */
  showsPersonal: boolean;
}

const none: Reads = {
  strength: undefined,
  shared: false,
  maxAgeSeconds: 0,
  staleWhileRevalidateSeconds: 0,
  staleIfErrorSeconds: 0,
};

/** Reads the option. Throws an Error that names the method and what to change. */
export function readsOf(message: ReadsMessage | undefined, of: ReadsOf): Reads {
  if (!message) return none;
  const { path, http, access, noSideEffects, showsPersonal } = of;
  if (!noSideEffects || !http.some(({ method }) => method === 'GET'))
    throw new Error(`${path}: (caudal.reads) is for queries with a GET route: remove it.`);
  const { shared, maxAgeSeconds, staleWhileRevalidateSeconds, staleIfErrorSeconds } = message;
  const strength = message.strength === 0 ? undefined : readStrengths[message.strength - 1];
  if (message.strength !== 0 && !strength) throw new Error(`${path}: ${message.strength} is an unknown read strength.`);
  if (strength === 'AT_LEAST') throw new Error(`${path}: AT_LEAST is the default of calls with a token: remove it.`);
  const seconds = { max_age_seconds: maxAgeSeconds, stale_while_revalidate_seconds: staleWhileRevalidateSeconds };
  for (const [name, value] of Object.entries({ ...seconds, stale_if_error_seconds: staleIfErrorSeconds }))
    if (!(value >= 0 && value <= maxSeconds)) throw new Error(`${path}: ${name} must be from 0 to ${maxSeconds}.`);
  if (maxAgeSeconds === 0 && (shared || staleWhileRevalidateSeconds > 0 || staleIfErrorSeconds > 0))
    throw new Error(`${path}: without max_age_seconds nothing is cached: set it, or remove the others.`);
  if (shared && (access.ownerField !== undefined || access.ownerInResource))
    throw new Error(`${path}: what has an owner must not be in shared caches: remove shared.`);
  if (shared && showsPersonal)
    throw new Error(`${path}: an answer with personal fields must not be in shared caches: remove shared.`);
  return { strength, shared, maxAgeSeconds, staleWhileRevalidateSeconds, staleIfErrorSeconds };
}
