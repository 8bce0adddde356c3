/** For tests: a stream of messages, and what comes back. */
import { Status } from '@caudal/contract/gen/google/rpc/status.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { Client, credentials, Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { detailsKey, fromStatus } from '../errors.ts';

/** A method of a generated definition. */
interface StreamMethod<Request, Answer> {
  path: string;
  requestSerialize(request: Request): Buffer;
  responseDeserialize(bytes: Buffer): Answer;
}

interface Given {
  /** A token. */
  as?: string;
  headers?: Record<string, string>;
  timeoutMs?: number;
}

/** A connection for streams. */
export function streamClient(address: string) {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  return {
    /** Opens a stream. */
    open: <Request, Answer>(method: StreamMethod<Request, Answer>, given?: Given) => openStream(client, method, given),
    close: () => client.close(),
  };
}

function openStream<Request, Answer>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: StreamMethod<Request, Answer>,
  { as, headers = {}, timeoutMs = 30_000 }: Given = {},
) {
  const metadata = new Metadata();
  if (as) metadata.set('authorization', `Bearer ${as}`);
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const options = { deadline: Date.now() + timeoutMs };
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
  const answers: Answer[] = [];
  call.on('data', (answer: Answer) => answers.push(answer));
  call.on('error', () => {});
  const ended = new Promise<StatusObject>((resolve) => call.on('status', resolve));
  return {
    answers,
    /** Resolves with the headers of the answer. */
    opened: new Promise<Metadata>((resolve) => call.on('metadata', resolve)),
    write: (request: Request) => call.write(request),
    finish: () => call.end(),
    cancel: () => call.cancel(),
    /** Resolves at the end with the error of the stream; undefined if it has none. */
    error: () =>
      ended.then((end) =>
        end.code === status.OK ? undefined : fromStatus(Object.assign(new Error(end.details), end), 'server'),
      ),
  };
}

/** The error in an answer. */
export function errorIn(found: Status): CaudalError {
  const metadata = new Metadata();
  metadata.set(detailsKey, Buffer.from(Status.encode(found).finish()));
  const error: ServiceError = Object.assign(new Error(found.message), {
    ...{ code: found.code, details: found.message, metadata },
  });
  return fromStatus(error, 'server', true);
}
