/** For tests of the server: gates, waits, and raw connections. */
import { connect as openSocket } from 'node:net';
import type { Client } from '@grpc/grpc-js';
import { service as health } from 'grpc-health-check';

/** A gate that is opened by hand. */
export function gate() {
  let open = () => {};
  const closed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { closed, open };
}

/** A raw connection: the received bytes, and whether it has ended. */
export function talk(port: number, text: string) {
  const talking = { heard: '', closed: false, socket: openSocket(port, '127.0.0.1') };
  talking.socket.setEncoding('latin1').on('error', () => {});
  talking.socket.on('data', (data) => {
    talking.heard += data;
  });
  talking.socket.on('close', () => {
    talking.closed = true;
  });
  talking.socket.write(text);
  return talking;
}

/** The status of a service in grpc.health.v1, or the code of its error. */
export function healthOf(client: Client, service: string): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = health.Check as {
    path: string;
    requestSerialize(v: unknown): Buffer;
    responseDeserialize(v: Buffer): unknown;
  };
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, (error, response) =>
      resolve(error ? error.code : (response as { status: string }).status),
    );
  });
}
