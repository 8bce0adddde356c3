/** The worker of docs-script.ts: loads the pages' script, compresses it, and ends. */
import { parentPort } from 'node:worker_threads';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import scalar from '@scalar/fastify-api-reference';
import fastify from 'fastify';
import type { DocsScriptParts } from './docs-script.ts';

const pages = fastify({ logger: false });
await pages.register(scalar, { routePrefix: '/docs', configuration: { url: '/openapi.json' } });
const { rawPayload } = await pages.inject('/docs/js/scalar.js');
const brotli = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: rawPayload.length };
// Copied, so that each has a buffer of its own, which can be handed over.
const own = (bytes: Uint8Array) => new Uint8Array(bytes);
const parts: DocsScriptParts = {
  identity: own(rawPayload),
  gzip: own(gzipSync(rawPayload)),
  br: own(brotliCompressSync(rawPayload, { params: brotli })),
};
parentPort?.postMessage(
  parts,
  Object.values(parts).map(({ buffer }) => buffer),
);
