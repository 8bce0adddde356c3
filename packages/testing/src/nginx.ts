/** nginx as a caching proxy, for tests: of the machine, or of Debian's package, which is unpacked and not installed. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { until } from './until.ts';

const aptMs = 60_000;

/** The program: that of NGINX_PATH, or of PATH, or unpacked from Debian's package; undefined if there is none. */
export function findNginx(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'];
  const found = [process.env.NGINX_PATH, ...folders.map((folder) => join(folder, 'nginx'))].find(
    (path) => path && existsSync(path),
  );
  return found ?? unpacked();
}

/** `apt-get download` needs no root, and starts no daemon. */
function unpacked(): string | undefined {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'caudal', 'nginx');
  const program = join(folder, 'usr/sbin/nginx');
  if (existsSync(program) || !existsSync('/usr/bin/apt-get')) return existsSync(program) ? program : undefined;
  const run = (name: string, ...args: string[]) =>
    execFileSync(name, args, { cwd: folder, stdio: 'ignore', timeout: aptMs });
  try {
    mkdirSync(folder, { recursive: true });
    run('apt-get', '-q', 'download', 'nginx');
    const file = readdirSync(folder).find((name) => name.endsWith('.deb'))!;
    run('dpkg-deb', '-x', file, '.');
  } catch (error) {
    console.warn(`nginx can't be unpacked: ${(error as Error).message}`);
  }
  return existsSync(program) ? program : undefined;
}

export interface CachingProxy {
  url: string;
  stop(): Promise<void>;
}

/** Starts a caching proxy before `upstream`. `headers`: what it sends there in addition, as a CDN does for an origin. */
export async function startNginx(
  program: string,
  { upstream, headers = {} }: { upstream: string; headers?: Record<string, string> },
): Promise<CachingProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-nginx-'));
  const port = await freePort();
  const sent = Object.entries(headers).map(([name, value]) => `proxy_set_header ${name} "${value}";`);
  // Else its workers are nobody, who can't enter the folder.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${user} daemon off; pid nginx.pid; error_log stderr error; worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  proxy_cache_path cache keys_zone=answers:1m;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $host:$server_port;
      ${sent.join(' ')}
      proxy_cache answers;
      proxy_cache_key $request_uri;
      proxy_cache_revalidate on;
      proxy_cache_background_update on;
      proxy_cache_lock on;
      add_header x-cache $upstream_cache_status always;
    }
  }
}`,
  );
  const child: ChildProcess = spawn(program, ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  await until(() =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as { port: number };
    server.close(() => resolve(port));
  });
  return promise;
}
