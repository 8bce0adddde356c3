/**
 * The places of a process, one for each call in flight, and the bytes that these calls hold. Both are shared among callers
 * (pool.ts). docs/limits.md has the consequences.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { counter, gauge } from '@caudal/telemetry/metrics.ts';
import { forwardedInFlight } from '../forward/metrics.ts';
import { isGreedy, lastPart } from './pool.ts';

const inFlight = gauge('rpc_server_calls_in_flight', 'Calls being served, those past their deadline included', '1', {
  formerly: { name: 'rpc_server_calls_in_hand' },
});
const bytesInFlight = gauge(
  'rpc_server_bytes_in_flight',
  'Bytes that requests and answers in flight hold, unfinished ones included, by direction',
  'By',
);
const refusedCalls = counter(
  'rpc_server_refused_total',
  'Calls refused because a bound was reached, by reason; docs/limits.md has the bounds',
);

/** Counts a refusal. */
export const noteRefusal = (reason: string): void => refusedCalls.add(1, { reason });

/** Whose calls share a bound. */
export interface Party {
  /** The subject, or the network of a caller without a token. */
  key: string;
  /** `own`: Caudal's services. `any`: a caller for all owners, such as a shop's server. `nobody`: a caller without a token. */
  kind: 'own' | 'any' | 'caller' | 'nobody';
}

/** The place of a call. It is given back once everybody that holds it has let go. */
export interface Place {
  readonly party: Party;
  /** Counts bytes of the request that are about to be held. Throws the error to answer if there is no room for them. */
  take(bytes: number): void;
  /** The bytes of the request that are held no more. */
  give(bytes: number): void;
  /** The request is there whole. Throws the error to answer if the process has enough of such requests (method-bytes.ts). */
  received(): void;
  /**
   * Counts the bytes of the answer. Throws the error to answer instead if the caller has left too many answers unread, and this one
   * can be had again.
   */
  answer(bytes: number, repeatable: boolean): void;
  /** The bytes of an answer that is sent, of a stream that has further ones. */
  sent(bytes: number): void;
  /** A further holder; the returned function lets go, once. */
  hold(): () => void;
}

export interface PlaceLimits {
  /** Calls in flight at once, including those past their deadline. */
  maxConcurrent: number;
  /** The most bytes that their requests hold, and the most that their answers hold. */
  requestMemoryBytes: number;
}

export interface Places {
  /**
   * A place for a call whose request has at most this many bytes, and the function that lets go of it. Throws the error to answer
   * if there is none.
   */
  enter(party: Party, requestBytes: number): { place: Place; leave(): void };
  /** A place beside the bounds, for a call that another process has counted. */
  enterForwarded(): () => void;
  /** The error for a further call; undefined while there is a free place. */
  full(): CaudalError | undefined;
  active(): number;
  /** What requests and answers hold. */
  bytes(): { requests: number; answers: number };
  /** Resolves when no call is in flight. */
  idle(): Promise<void>;
}

interface Account {
  calls: number;
  requests: number;
  answers: number;
}

/** One caller alone gets seven eighths of the places, and a quarter of the bytes. */
export const alpha = 7;
const bytesPart = 4;
/** Caudal's services count as one caller together, so that all of them leave something. The blank keeps it apart from subjects. */
const ownKey = 'all services';
const keyOf = ({ key, kind }: Party): string => (kind === 'own' ? ownKey : key);
/** Calls that are next to nothing. */
const fewCalls = 2;
/** Callers for all owners make calls for many; services do the work of calls that were counted elsewhere. */
const weights: Record<Party['kind'], number> = { own: 16, any: 4, caller: 1, nobody: 1 };
/** Of the bytes, what all callers without a token get together. */
const nobodiesPart = 8;
/** Bytes that are next to nothing, as most requests have. */
const little = 64 * 1024;
/** A buffer grows by doubling, and a message can be there compressed and decompressed. */
const roomFor = (requestBytes: number) => requestBytes * 3 + 64 * 1024;
/** The gauge of bytes is set when it has changed by this much: it costs as much as the rest of an admission. */
const bytesToTell = 1024 * 1024;

/** Bytes of one direction. */
function openBytes(direction: string) {
  let used = 0;
  let told = 0;
  return {
    used: () => used,
    change(bytes: number) {
      used += bytes;
      if (Math.abs(used - told) < bytesToTell) return;
      told = used;
      bytesInFlight.set(used, { direction });
    },
  };
}

export function openPlaces({ maxConcurrent, requestMemoryBytes: memory }: PlaceLimits): Places {
  /** Callers with a call in flight; the places bound their number. */
  const accounts = new Map<string, Account>();
  const requests = openBytes('request');
  const answers = openBytes('answer');
  let counted = 0;
  let forwarded = 0;
  let nobodies = 0;
  const waiting: (() => void)[] = [];

  const changed = () => {
    inFlight.set(counted);
    if (counted + forwarded === 0) for (const resolve of waiting.splice(0)) resolve();
  };

  /** Throws if there is no place for a further call of this caller. */
  function assertPlace({ kind }: Party, account: Account | undefined): void {
    if (counted >= maxConcurrent) throw busy();
    if (!account) return;
    if (isGreedy(account.calls, maxConcurrent - counted, maxConcurrent, alpha * weights[kind], fewCalls))
      throw kind === 'own' ? busy() : greedy();
    if (kind !== 'own' && account.answers >= memory / bytesPart) throw greedy();
  }

  function assertRoom({ kind }: Party, account: Account, more: number, room: number): void {
    const free = memory - requests.used() - more;
    if (free < (kind === 'own' ? memory / lastPart : 0)) throw busy();
    if (kind === 'own') return;
    const ofNobodies = memory / nobodiesPart;
    if (kind === 'nobody' && isGreedy(account.requests, ofNobodies - nobodies - more, ofNobodies, 1, little))
      throw greedy();
    if (isGreedy(account.requests, free, memory, alpha * weights[kind], little)) throw greedy();
    // One call of a caller that has nothing else fits, whatever its method allows.
    const after = account.requests + more;
    if (after > memory / bytesPart && !(account.calls === 1 && after <= room)) throw greedy();
  }

  return {
    enter(party, requestBytes) {
      const key = keyOf(party);
      const known = accounts.get(key);
      assertPlace(party, known);
      const account = known ?? { calls: 0, requests: 0, answers: 0 };
      if (!known) accounts.set(key, account);
      account.calls++;
      counted++;
      changed();
      let [heldRequest, heldAnswer, holders] = [0, 0, 0];
      let left = false;
      const changeRequest = (bytes: number) => {
        heldRequest += bytes;
        account.requests += bytes;
        requests.change(bytes);
        if (party.kind === 'nobody') nobodies += bytes;
      };
      const changeAnswer = (bytes: number) => {
        heldAnswer += bytes;
        account.answers += bytes;
        answers.change(bytes);
      };
      const hold = () => {
        // It counts no more, and must not be given back twice.
        if (left) return () => {};
        let holds = true;
        holders++;
        return () => {
          if (!holds) return;
          holds = false;
          if (--holders > 0) return;
          left = true;
          changeRequest(-heldRequest);
          changeAnswer(-heldAnswer);
          if (--account.calls === 0) accounts.delete(key);
          counted--;
          changed();
        };
      };
      const place: Place = {
        party,
        take(bytes) {
          if (holders === 0) return;
          assertRoom(party, account, bytes, roomFor(requestBytes));
          changeRequest(bytes);
        },
        give: (bytes) => changeRequest(-Math.min(bytes, heldRequest)),
        received() {},
        answer(bytes, repeatable) {
          if (holders === 0) return;
          if (repeatable && party.kind !== 'own' && account.answers > 0) {
            if (answers.used() + bytes > memory) throw busy();
            if (account.answers + bytes > memory / bytesPart) throw greedy();
          }
          changeAnswer(bytes);
        },
        sent: (bytes) => changeAnswer(-Math.min(bytes, heldAnswer)),
        hold,
      };
      return { place, leave: hold() };
    },
    enterForwarded() {
      forwardedInFlight.set(++forwarded);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        forwardedInFlight.set(--forwarded);
        changed();
      };
    },
    full: () => (counted >= maxConcurrent ? busy() : undefined),
    active: () => counted + forwarded,
    bytes: () => ({ requests: requests.used(), answers: answers.used() }),
    idle: () => (counted + forwarded === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}

/** Made in advance, since an exception costs more than the rest of a refusal. See README, Prepared refusals. */
const prepared = (reason: string, message: string): CaudalError[] =>
  Array.from(
    { length: 64 },
    (_, place) =>
      new CaudalError('RESOURCE_EXHAUSTED', reason, message, { retryAfterMs: Math.round(500 + (1000 * place) / 64) }),
  );
const busyAnswers = prepared(
  'SERVER_BUSY',
  'The server has as many calls in flight, or bytes of them, as its limits allow.',
);
const greedyAnswers = prepared(
  'CALLER_BUSY',
  "This caller has its share of the server's calls in flight, or of their bytes: wait for the calls in flight, and read their answers.",
);

function refusal(answers: CaudalError[]): CaudalError {
  const error = answers[Math.floor(Math.random() * answers.length)]!;
  noteRefusal(error.reason);
  return error;
}

/** The error for a call that the process has no room for. */
export const busy = (): CaudalError => refusal(busyAnswers);

/** The error for a call that its caller has no share left for. */
export const greedy = (): CaudalError => refusal(greedyAnswers);
