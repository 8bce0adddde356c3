/**
 * What streams without a token may do to the process. A connection has few of them at once until one of its calls was admitted, and
 * refusals, which cost as much as small calls, leave the loop to others in between. docs/limits.md, Without a token.
 */
import type { ServerHttp2Session } from 'node:http2';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** Streams of a connection none of whose calls was admitted yet. HTTP/2 itself refuses further ones, before they are read. */
export const unknownStreams = 256;
/** Refusals in one turn of the event loop: some 5 ms. */
const refusalsATurn = 64;

const raised = Symbol('raised');
type Session = ServerHttp2Session & { [raised]?: true };

/** grpc-js' call has the stream; it is no part of its API. */
const sessionOf = (call: ServerInterceptingCallInterface): Session | undefined =>
  (call as { stream?: { session?: Session } }).stream?.session;

/** The connection of this call may have so many streams from now on: its caller is known. */
export function allowStreams(call: ServerInterceptingCallInterface, streams: number): void {
  const session = sessionOf(call);
  if (!session || session[raised] || session.destroyed || session.closed) return;
  session[raised] = true;
  session.settings({ maxConcurrentStreams: streams });
}

/** Whether the connection of this call ends: it was told to use another one, and its calls are finished. */
export const isEnding = (call: ServerInterceptingCallInterface): boolean => sessionOf(call)?.closed === true;

/** The client has given the stream up, and its place on the connection is free. */
const isGone = (call: ServerInterceptingCallInterface): boolean =>
  (call as { stream?: { destroyed?: boolean } }).stream?.destroyed === true;

interface Refusal {
  call: ServerInterceptingCallInterface;
  refuse(): void;
}

export interface RefusalTurns {
  /** Runs `refuse` at once, or in a later turn of the loop if this one has had its refusals. Connections get theirs in turn. */
  run(call: ServerInterceptingCallInterface, refuse: () => void): void;
  /** Refusals that wait. The streams of connections bound their number: those that are gone leave in the next turn. */
  waiting(): number;
}

export function openRefusalTurns(): RefusalTurns {
  const queues = new Map<Session | undefined, Refusal[]>();
  let left = refusalsATurn;
  let due = false;

  function turn(): void {
    due = false;
    left = refusalsATurn;
    // Without counting: a client could give up streams as fast as it opens them.
    for (const [session, queue] of queues) {
      const waiting = queue.filter(({ call }) => !isGone(call));
      if (waiting.length > 0) queues.set(session, waiting);
      else queues.delete(session);
    }
    while (left > 0 && queues.size > 0) {
      for (const [session, queue] of queues) {
        if (left === 0) break;
        left--;
        queue.shift()!.refuse();
        if (queue.length === 0) queues.delete(session);
      }
    }
    // Also with an empty queue: the next turn has its refusals again.
    next();
  }

  function next(): void {
    if (due || (queues.size === 0 && left === refusalsATurn)) return;
    due = true;
    setImmediate(turn);
  }

  return {
    run(call, refuse) {
      if (left > 0 && queues.size === 0) {
        left--;
        next();
        refuse();
        return;
      }
      const session = sessionOf(call);
      const queue = queues.get(session) ?? [];
      queue.push({ call, refuse });
      queues.set(session, queue);
      next();
    },
    waiting: () => [...queues.values()].reduce((sum, { length }) => sum + length, 0),
  };
}
