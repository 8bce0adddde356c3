/** The client of the gRPC benchmarks: bare grpc-js, the same for every contender. */
import { Client, credentials, Metadata } from '@grpc/grpc-js';

export interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

export interface Unary<Request, Answer> {
  call(request: Request): Promise<Answer>;
  close(): void;
}

/** In PEM: the authority, and the client's own certificate if it has one. `name`: the server's. */
export interface TlsFiles {
  ca: string;
  name: string;
  certificate?: string;
  key?: string;
}

/** `tls`: over TLS; plain if absent. */
export function openUnary<Request, Answer>(options: {
  address: string;
  path: string;
  request: Codec<Request>;
  answer: Codec<Answer>;
  token?: string;
  tls?: TlsFiles | undefined;
}): Unary<Request, Answer> {
  const { ca, certificate, key } = options.tls ?? {};
  const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
  const secured =
    ca === undefined ? credentials.createInsecure() : credentials.createSsl(pem(ca), pem(key), pem(certificate));
  const named = options.tls && { 'grpc.ssl_target_name_override': options.tls.name };
  const client = new Client(options.address, secured, named);
  const serialize = (message: Request) => Buffer.from(options.request.encode(message).finish());
  const deserialize = (bytes: Buffer) => options.answer.decode(bytes);
  const metadata = new Metadata();
  if (options.token) metadata.set('authorization', `Bearer ${options.token}`);
  return {
    call: (request) =>
      new Promise((resolve, reject) => {
        const deadline = Date.now() + 10_000;
        client.makeUnaryRequest(
          options.path,
          serialize,
          deserialize,
          request,
          metadata,
          { deadline },
          (error, answer) => (error ? reject(error) : resolve(answer!)),
        );
      }),
    close: () => client.close(),
  };
}
