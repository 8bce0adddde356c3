/** Bounds the requests of one connection that are not answered yet, which a client may send in one piece (pipelining). */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Browsers, gateways and clients send one after the other; what is above this only keeps the loop busy. */
export const maxPipelined = 16;

/**
 * Ends a connection with more of them, before anything else has the request. To be called once all listeners of requests are there.
 * The parser goes on with what it has received: that is dropped.
 */
export function boundPipelining(server: Server): void {
  const open = new WeakMap<Socket, number>();
  const listeners = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    const { socket } = request;
    const others = open.get(socket) ?? 0;
    if (socket.destroyed || others >= maxPipelined) {
      socket.destroy();
      return;
    }
    open.set(socket, others + 1);
    response.once('close', () => open.set(socket, open.get(socket)! - 1));
    for (const listener of listeners) listener.call(server, request, response);
  });
}
