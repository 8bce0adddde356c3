/**
 * The upper limit for a REST service in Node: a bare HTTP server that answers each call with the same JSON and does nothing else. It is a
 * process of its own, like the service.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

/** Answers with this many bytes. */
export async function startHttpEcho(bytes: number): Promise<{ url: string; stop(): void }> {
  const child = fork(fileURLToPath(import.meta.url), ['serve', String(bytes)]);
  const [port] = (await once(child, 'message')) as [number];
  return { url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
}

function serve(bytes: number): void {
  const body = JSON.stringify({ text: 'x'.repeat(Math.max(0, bytes - '{"text":""}'.length)) });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, headers);
    response.end(body);
  });
  server.listen(0, '127.0.0.1', () => process.send!((server.address() as { port: number }).port));
}

if (process.argv[2] === 'serve' && process.argv[1] === fileURLToPath(import.meta.url)) serve(Number(process.argv[3]));
