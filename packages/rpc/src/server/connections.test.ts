import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { trustedProxies } from './address.ts';
import { connectionGuard } from './connections.ts';

function connection(remoteAddress: string) {
  const state = { destroyed: false };
  const socket = Object.assign(new EventEmitter(), {
    remoteAddress,
    destroy: () => Object.assign(state, { destroyed: true }),
  });
  return { state, socket: socket as unknown as Socket };
}

test('one address has three quarters of the connections, and others get theirs', () => {
  const guard = connectionGuard(100, trustedProxies([]));
  const all = Array.from({ length: 90 }, () => connection('198.51.100.1'));
  expect(all.filter(({ socket }) => guard(socket))).toHaveLength(75);
  expect(all.at(-1)!.state.destroyed).toBe(true);
  expect(guard(connection('198.51.100.2').socket)).toBe(true);
  for (const { socket } of all) socket.emit('close');
  expect(guard(connection('198.51.100.1').socket)).toBe(true);
});

test('an IPv6 subscriber is one address, and trusted proxies have no share', () => {
  const guard = connectionGuard(4, trustedProxies(['10.0.0.0/8']));
  const subscriber = Array.from({ length: 4 }, (_, n) => guard(connection(`2001:db8:0:1::${n + 1}`).socket));
  expect(subscriber).toEqual([true, true, true, false]);
  expect(Array.from({ length: 9 }, () => guard(connection('::ffff:10.1.2.3').socket)).every(Boolean)).toBe(true);
});
