/** Several command processes of the inventory, and clients of each that all want one product. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@caudal/config/config.ts';
import { StockEvent } from '@caudal/contract/gen/caudal/inventory/v1/events.ts';
import { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { remoteLog } from '@caudal/eventlog/log-service.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { generateKey, signToken } from '@caudal/rpc/server/tokens.ts';
import type { Client } from '@caudal/rpc/types.ts';
import { migrateAudit } from '@caudal/server/audit/migrate-audit.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { migrateContext } from '@caudal/server/local-context.ts';
import { type RuntimeValues, settings } from '@caudal/server/settings/settings.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { Client as Postgres } from 'pg';
import { createPart, freePorts, type Part, root } from './part.ts';

/** A reservation that was answered, in the order of the answers. */
export interface Sold {
  /** The process that was called, by its number. */
  at: number;
  client: number;
  reservationId: string;
  answeredMs: number;
  tookMs: number;
}

export interface Contest {
  parts: Part[];
  inventory: (Client<InventoryServiceService> & { close(): void })[];
  /** A client of a process, for a caller with these permissions. */
  as(at: number, subject: string, permissions: string[]): Client<InventoryServiceService> & { close(): void };
  /**
   * Clients of each process reserve one piece each, again and again, until the end. A client whose process does not answer
   * repeats its call at the next one, with the same request id.
   */
  sell(options: { productId: string; clients: number; until(sold: Sold[]): boolean }): Promise<Sold[]>;
  /** The number of the process that owns the product's stream; undefined for none. */
  owner(productId: string): Promise<number | undefined>;
  /** Calls that were answered with an error, and repeated. */
  failures: { at: number; error: CaudalError }[];
  /** Reservations in the product's stream, in its order. */
  reserved(productId: string): Promise<string[]>;
  /** The sum of a metric's series whose labels match, over the processes that run. */
  metric(name: string, labels?: RegExp): Promise<number>;
  stop(): Promise<void>;
}

/** `env`: more settings of a process. */
export async function startContest({
  processes,
  env = () => ({}),
}: {
  processes: number;
  env?(at: number): Record<string, string>;
}): Promise<Contest> {
  const logs = join(root, '.caudal/e2e');
  mkdirSync(logs, { recursive: true });
  const folder = mkdtempSync(join(logs, 'owners-'));
  const data = mkdtempSync(join(tmpdir(), 'caudal-owners-'));
  const fresh = await freshDatabase();
  await migrateContext(fresh.url, contexts.find(({ name }) => name === 'inventory')!);
  await migrateAudit(fresh.url, loadConfig(settings, { env: {} }) as RuntimeValues);
  const { privateKey, publicKey } = await generateKey('e2e');
  const ports = await freePorts(processes * 3);
  const parts = Array.from({ length: processes }, (_, at) =>
    createPart({
      name: `command-${at}`,
      ports: { rest: ports[at * 3]!, grpc: ports[at * 3 + 1]! },
      logFile: join(folder, `command-${at}.log`),
      env: {
        DATABASE_URL: fresh.url,
        CAUDAL_DATA_DIR: data,
        CAUDAL_ROLES: 'command',
        CAUDAL_CONTEXTS: 'inventory',
        CAUDAL_FORWARD_HOST: '127.0.0.1',
        CAUDAL_METRICS_PORT: String(ports[at * 3 + 2]!),
        CAUDAL_JWKS: JSON.stringify({ keys: [publicKey] }),
        CAUDAL_SERVICE_KEY: JSON.stringify(privateKey),
        ...env(at),
      },
    }),
  );
  const tokenOf = (subject: string, permissions: string[]) =>
    signToken({ key: privateKey, issuer: 'caudal', audience: 'caudal', subject, permissions, ttlSeconds: 3_600 });
  const as: Contest['as'] = (at, subject, permissions) => {
    const token = tokenOf(subject, permissions);
    return connect(InventoryServiceService, { address: parts[at]!.grpc, auth: () => token });
  };
  const all = ['inventory.stock.write:any', 'inventory.stock.reserve:any'];
  const inventory = parts.map((_, at) => as(at, 'shop', all));
  const readToken = tokenOf('service:e2e', ['log.events.read']);

  const failures: Contest['failures'] = [];

  async function reserve(first: number, productId: string): Promise<Pick<Sold, 'at' | 'reservationId'>> {
    const reservationId = newId();
    const lines = [{ productId, quantity: 1n }];
    const request = { requestId: newId(), reservationId, lines, attributes: {}, ttl: { seconds: 900n, nanos: 0 } };
    for (let at = first; ; at = (at + 1) % processes) {
      try {
        await inventory[at]!.reserveStock(request, { timeoutMs: 3_000 });
        return { at, reservationId };
      } catch (error) {
        if (!(error instanceof CaudalError)) throw error;
        if (!['ABORTED', 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED'].includes(error.code)) throw error;
        failures.push({ at, error });
      }
    }
  }

  async function stop(): Promise<void> {
    for (const client of inventory) client.close();
    for (const part of parts) part.pause(false);
    await Promise.all(parts.map((part) => part.end('SIGTERM')));
    await fresh.drop();
    rmSync(folder, { recursive: true, force: true });
    rmSync(data, { recursive: true, force: true });
  }

  try {
    await Promise.all(parts.map((part) => part.start()));
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    parts,
    inventory,
    as,
    failures,
    async sell({ productId, clients, until }) {
      const sold: Sold[] = [];
      const began = performance.now();
      const client = async (first: number, number: number) => {
        while (!until(sold)) {
          const from = performance.now();
          const { at, reservationId } = await reserve(first, productId);
          const now = performance.now();
          sold.push({ at, client: number, reservationId, answeredMs: now - began, tookMs: now - from });
        }
      };
      await Promise.all(Array.from({ length: processes * clients }, (_, number) => client(number % processes, number)));
      return sold;
    },
    async owner(productId) {
      const client = new Postgres({ connectionString: fresh.url });
      await client.connect();
      const { rows } = await client
        .query('SELECT address FROM inventory.stream_owners WHERE stream = $1', [`inventory.stock/${productId}`])
        .finally(() => client.end());
      const at = parts.findIndex(({ grpc }) => grpc === rows[0]?.address);
      return at === -1 ? undefined : at;
    },
    async reserved(productId) {
      const running = parts.find((part) => part.pid() !== undefined)!;
      const client = connect(LogServiceService, { address: running.grpc, auth: () => readToken });
      const log = remoteLog({ domain: 'inventory', client });
      const found: string[] = [];
      const stream = `inventory.stock/${productId}`;
      for (let afterVersion = 0; ; ) {
        const events = await log.readStreams([{ stream, afterVersion }]);
        if (events.length === 0) break;
        for (const { version, data } of events) {
          if (version !== afterVersion + 1) throw new Error(`${stream}: ${version} follows ${afterVersion}`);
          afterVersion = version;
          const { event } = StockEvent.decode(data as Buffer);
          if (event?.$case === 'reserved') found.push(event.value.reservationId);
        }
      }
      client.close();
      return found;
    },
    async metric(name, labels = /(?:)/) {
      let sum = 0;
      for (const [at, part] of parts.entries()) {
        if (part.pid() === undefined) continue;
        const text = await (await fetch(`http://127.0.0.1:${ports[at * 3 + 2]}/metrics`)).text();
        for (const line of text.split('\n'))
          if (/^\w+/.exec(line)?.[0] === name && labels.test(line)) sum += Number(line.split(' ').at(-1));
      }
      return sum;
    },
    stop,
  };
}
