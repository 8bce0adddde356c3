/** Shares the connections of a port among addresses (pool.ts), so that one address can't take them all. */
import type { Socket } from 'node:net';
import { addressOf, networkOf, type TrustedProxies } from './address.ts';
import { openPool } from './pool.ts';

/** One address alone gets three quarters: a gateway that is not among the trusted proxies needs many. */
const alpha = 3;

/** Whether a new connection may stay; it is closed if not. Trusted proxies connect for many, so they are not counted. */
export function connectionGuard(maxConnections: number, trusted: TrustedProxies): (socket: Socket) => boolean {
  const pool = openPool(maxConnections, alpha);
  return (socket) => {
    const address = addressOf(socket.remoteAddress, undefined, trusted);
    if (trusted.has(address)) return true;
    const left = pool.take(networkOf(address));
    if (!left) {
      socket.destroy();
      return false;
    }
    socket.once('close', left);
    return true;
  };
}
