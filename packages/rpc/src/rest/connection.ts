/** The requests of a connection that are not answered yet, and their end with it. */
import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Patience } from '../server/patience.ts';

/**
 * One listener for each connection. The answer to a request behind others (pipelining) has no connection yet, so it does not hear
 * that the connection has ended.
 */
const open = new WeakMap<Socket, Set<() => void>>();

/** Calls `leave` once: when the answer is sent, or when the connection ends. */
export function whenAnswered({ raw: { socket } }: FastifyRequest, { raw }: FastifyReply, leave: () => void): void {
  if (socket.destroyed) {
    leave();
    return;
  }
  let leaves = open.get(socket);
  if (!leaves) {
    const all = new Set<() => void>();
    socket.once('close', () => {
      for (const each of all) each();
    });
    open.set(socket, all);
    leaves = all;
  }
  const of = leaves;
  of.add(leave);
  raw.once('close', () => {
    of.delete(leave);
    leave();
  });
}

/** Ends the connection of an answer that is not read in this time. */
export function endIfUnread(
  { raw: { socket } }: FastifyRequest,
  { raw }: FastifyReply,
  patience: Patience,
  ms: number,
): void {
  raw.once(
    'close',
    patience.watch(ms, () => socket.destroy()),
  );
}

/** Ends the connection of a refused request whose body, which nobody reads, does not end in this time. */
export function endIfUnfinished({ raw }: FastifyRequest, patience: Patience, ms: number): void {
  if (!raw.complete)
    raw.once(
      'close',
      patience.watch(ms, () => raw.socket.destroy()),
    );
}
