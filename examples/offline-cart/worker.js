/** Keeps the files of the page, so that it opens without a network. The API is not its business. */
const cacheName = 'page';
const networkMs = 3_000;

async function keepFiles() {
  const files = await (await fetch('/files.json')).json();
  await (await caches.open(cacheName)).addAll(files);
}

/** The file as the server has it, or as it was kept. */
async function answer(request) {
  try {
    const response = await fetch(request.url, { signal: AbortSignal.timeout(networkMs) });
    if (response.ok) await (await caches.open(cacheName)).put(request.url, response.clone());
    return response;
  } catch {
    return (await caches.match(request.url)) ?? Response.error();
  }
}

addEventListener('install', (event) => event.waitUntil(keepFiles()));
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  if (method === 'GET' && new URL(url).origin === location.origin) event.respondWith(answer(event.request));
});
