/** A real Caudal process for a benchmark: the same program, with the same checks, as in production. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { everything } from '@caudal/cli/permissions.ts';
import { loadConfig } from '@caudal/config/config.ts';
import { joinEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import { rateClasses } from '@caudal/rpc/server/rate-limits.ts';
import { generateKey, signToken } from '@caudal/rpc/server/tokens.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { migrateContexts } from '@caudal/server/handlers/saga-starts.ts';
import { settings } from '@caudal/server/settings/settings.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { createPart, freePorts, type Part } from '../e2e/part.ts';
import { type Codec, openUnary, type Unary } from './unary.ts';

export interface Runtime {
  part: Part;
  token: string;
  databaseUrl: string;
  /** Calls one method, as a caller with all permissions. */
  method<Request, Answer>(path: string, request: Codec<Request>, answer: Codec<Answer>): Unary<Request, Answer>;
  stop(): Promise<void>;
}

/** Starts one process with these settings, on a database of its own or, without `postgres`, on an embedded one. */
export async function startRuntime(
  env: Record<string, string>,
  { postgres = 'server' }: { postgres?: 'server' | 'embedded' } = {},
): Promise<Runtime> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-bench-'));
  const fresh = postgres === 'server' ? await freshDatabase() : undefined;
  if (fresh) await migrateContexts(fresh.url, contexts, loadConfig(settings, { env: {} }));
  const [rest, grpc] = (await freePorts(2)) as [number, number];
  const key = await generateKey('bench');
  const part = createPart({
    name: 'bench',
    ports: { rest, grpc },
    logFile: join(folder, 'log'),
    env: {
      ...(fresh && { DATABASE_URL: fresh.url }),
      CAUDAL_DATA_DIR: folder,
      CAUDAL_JWKS: JSON.stringify({ keys: [key.publicKey] }),
      CAUDAL_SERVICE_KEY: JSON.stringify(key.privateKey),
      PAYMENTS_GATEWAY: 'sandbox',
      LOG_LEVEL: 'error',
      // One caller makes all calls.
      ...Object.fromEntries(rateClasses.map((name) => [`CAUDAL_RATE_LIMIT_${name.toUpperCase()}`, 'off'])),
      ...env,
    },
  });
  const stop = async () => {
    await part.end('SIGTERM');
    await fresh?.drop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await part.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const about = { issuer: 'caudal', audience: 'caudal', subject: 'bench', permissions: everything() };
  const token = await signToken({ key: key.privateKey, ttlSeconds: 86_400, ...about });
  return {
    part,
    token,
    databaseUrl: fresh?.url ?? (await joinEmbeddedPostgres(folder))!.url,
    method: (path, request, answer) => openUnary({ address: part.grpc, path, request, answer, token }),
    stop,
  };
}
