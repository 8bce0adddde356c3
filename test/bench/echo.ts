/**
 * The upper limit for a gRPC service in Node: a bare grpc-js server with the same messages, which answers each call
 * with the same message and does nothing else. It is a process of its own, like the service.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Reservation, ReserveStockRequest } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { openUnary } from './unary.ts';

const path = '/bench.Echo/Echo';

export interface Echo {
  /** `token` is sent, and not checked. */
  call(request: ReserveStockRequest): Promise<Reservation>;
  stop(): void;
}

export async function startEcho(token: string): Promise<Echo> {
  const child = fork(fileURLToPath(import.meta.url), ['serve']);
  const [port] = (await once(child, 'message')) as [number];
  const address = `127.0.0.1:${port}`;
  const { call, close } = openUnary({ address, path, request: ReserveStockRequest, answer: Reservation, token });
  return {
    call,
    stop() {
      close();
      child.kill();
    },
  };
}

async function serve(): Promise<void> {
  const answer: Reservation = {
    reservationId: '0190a1b2-0000-7000-8000-000000000000',
    lines: [{ productId: 'P-1', quantity: 1n }],
    expireTime: new Date(),
  };
  const server = new Server();
  server.addService(
    {
      echo: {
        path,
        requestStream: false,
        responseStream: false,
        requestDeserialize: (bytes: Buffer) => ReserveStockRequest.decode(bytes),
        responseSerialize: (message: Reservation) => Buffer.from(Reservation.encode(message).finish()),
        requestSerialize: (message: ReserveStockRequest) => Buffer.from(ReserveStockRequest.encode(message).finish()),
        responseDeserialize: (bytes: Buffer) => Reservation.decode(bytes),
      },
    },
    { echo: (_call: unknown, callback: (error: null, message: Reservation) => void) => callback(null, answer) },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  process.send!(port);
}

if (process.argv[2] === 'serve' && process.argv[1] === fileURLToPath(import.meta.url)) await serve();
