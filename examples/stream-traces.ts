/**
 * Sends what a carrier says of parcels in a stream. It needs a running system (npm start) and the token that npm start prints:
 *
 *   TOKEN=... node_modules/.bin/node examples/stream-traces.ts [127.0.0.1:9090]
 *
 * Each chunk gets its answer once it is durable. What has none when a stream ends is sent again: a repeat does no harm.
 */
import { type Duplex, Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type StreamTracesRequest,
  type StreamTracesResponse,
  Trace,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

const address = process.argv[2] ?? '127.0.0.1:9090';
const token = process.env.TOKEN;
if (!token) throw new Error('Set TOKEN to the token that npm start prints.');

const client = new Client(address, credentials.createInsecure());
const { path, requestSerialize, responseDeserialize } = TrackingServiceService.streamTraces;

/** Sends these chunks. Returns those that have to be sent again. */
async function send(
  chunks: StreamTracesRequest[],
  onAnswer: (answer: StreamTracesResponse) => void,
): Promise<StreamTracesRequest[]> {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  // It is one, whatever its type says.
  const stream = call as unknown as Duplex;
  const unanswered = [...chunks];
  const again: StreamTracesRequest[] = [];
  // Waits while the server does not read.
  Readable.from(chunks).pipe(stream);
  try {
    for await (const answer of stream as AsyncIterable<StreamTracesResponse>) {
      const chunk = unanswered.shift()!;
      if (answer.error) again.push(chunk);
      onAnswer(answer);
    }
  } catch (error) {
    console.log(`the stream has ended: ${(error as ServiceError).details}`);
  }
  return [...again, ...unanswered];
}

const parcel = `JD${Date.now()}`;
const hourAgo = Date.now() - 3_600_000;
let chunks = Array.from({ length: 5 }, (_, chunk) => ({
  traces: Array.from({ length: 200 }, (_, n) =>
    Trace.fromPartial({
      carrier: 'acme',
      trackingNumber: `${parcel}${n}`,
      happenTime: new Date(hourAgo + chunk * 60_000),
      detail: `Scan ${chunk}`,
    }),
  ),
}));

let accepted = 0;
for (let attempt = 0; attempt < 10 && chunks.length > 0; attempt++) {
  if (attempt > 0) await delay(1_000);
  chunks = await send(chunks, (answer) => {
    accepted += answer.accepted;
    if (answer.error) console.log(`a chunk was refused: ${answer.error.message}`);
  });
}
console.log(`${accepted} traces are recorded, ${chunks.length} chunks are left`);
client.close();
