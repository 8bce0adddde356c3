/**
 * The script of the pages under /docs/, in each encoding that a browser takes. A worker makes them once, at the first request
 * for a page: loading the 5 MB takes 200 ms and compressing them a second, in which the process could not serve calls.
 */
import { Worker } from 'node:worker_threads';
import { type Encoded, etagOf } from './encoded.ts';

/** What the worker sends. */
export type DocsScriptParts = Record<'identity' | 'gzip' | 'br', Uint8Array<ArrayBuffer>>;

const atMostMs = 60_000;

/** A failure is remembered this long: anyone may ask, and each try costs a second of CPU. */
const failureMs = 60_000;

/** Makes the script at the first call. */
export function docsScript(): () => Promise<Encoded> {
  let making: Promise<Encoded> | undefined;
  return () => {
    if (making) return making;
    making = make();
    making.catch(() =>
      setTimeout(() => {
        making = undefined;
      }, failureMs).unref(),
    );
    return making;
  };
}

async function make(): Promise<Encoded> {
  const worker = new Worker(new URL('./docs-script-worker.ts', import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers<DocsScriptParts>();
  const timer = setTimeout(() => reject(new Error('The script of /docs was not made in time.')), atMostMs).unref();
  worker.once('message', resolve).once('error', reject);
  worker.once('exit', () => reject(new Error('The worker that makes the script of /docs has ended.')));
  try {
    const parts = await promise;
    const [identity, gzip, br] = [parts.identity, parts.gzip, parts.br].map((bytes) => Buffer.from(bytes.buffer));
    return { etag: etagOf(identity!), identity: identity!, gzip: gzip!, br: br! };
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
