/** The system under attack: two processes per role, and a proxy between each process and each server. */
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import { type ServerName, serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy, type TcpProxy, through } from '@caudal/testing/tcp-proxy.ts';
import { type System, startSystem } from '../../e2e/system.ts';

const copies = 2;

/** The servers that a system works on. */
type Server = Exclude<ServerName, 's3'>;

/** The servers that each role uses. */
const links = {
  command: ['postgres'],
  query: ['postgres', 'mongodb', 'elasticsearch', 'redis'],
  relay: ['postgres', 'rabbitmq'],
  projector: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],
  saga: ['postgres', 'rabbitmq'],
} as const satisfies Record<string, Server[]>;

const variables: Record<Server, string> = {
  postgres: 'DATABASE_URL',
  rabbitmq: 'RABBITMQ_URL',
  mongodb: 'MONGODB_URL',
  elasticsearch: 'ELASTICSEARCH_URL',
  redis: 'REDIS_URL',
};

export interface Link {
  part: string;
  server: Server;
  proxy: TcpProxy;
}

export interface Cluster {
  system: System;
  gateway: SandboxGateway;
  links: Link[];
  stop(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const gateway = await startSandboxGateway();
  const between = await Promise.all(
    Object.entries(links).flatMap(([role, servers]) =>
      Array.from({ length: copies }, (_, index) => `${role}-${index + 1}`).flatMap((part) =>
        servers.map(async (server): Promise<Link> => ({ part, server, proxy: await startTcpProxy(serverUrl(server)) })),
      ),
    ),
  );
  const closeNetwork = async () => {
    for (const { proxy } of between) await proxy.close();
    await gateway.stop();
  };
  try {
    const system = await startSystem({
      form: 'processes',
      copies,
      env: (part, stores) => ({
        PAYMENTS_GATEWAY_URL: gateway.url,
        PAYMENTS_GATEWAY_TIMEOUT: '2s',
        CAUDAL_RECONCILIATION_INTERVAL: '2s',
        CAUDAL_RECONCILIATION_MIN_AGE: '1s',
        // Shorter than a pause, so that reservations sometimes expire before payments arrive.
        ORDERS_RESERVATION_TTL: '20s',
        ORDERS_PAYMENT_TIMEOUT: '60s',
        ...Object.fromEntries(
          between
            .filter((link) => link.part === part)
            .map(({ server, proxy }) => [variables[server], through(proxy, stores!.env[variables[server]]!)]),
        ),
      }),
    });
    return {
      system,
      gateway,
      links: between,
      async stop() {
        await system.stop();
        await closeNetwork();
      },
    };
  } catch (error) {
    await closeNetwork();
    throw error;
  }
}
