/** The app of a process: its contexts, stores, clients and identity. Roles run on it (roles/*.ts). */

import { openRecorder, type Recorder } from '@caudal/audit/recorder.ts';
import type { Settings } from '@caudal/config/config.ts';
import type { Context, Tools } from '@caudal/context/context.ts';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { remoteLog } from '@caudal/eventlog/log-service.ts';
import { openLockConnections } from '@caudal/eventlog/stream-locks.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { type Members, openMembers } from '@caudal/messaging/members/members.ts';
import { type Registries, remoteRegistry } from '@caudal/messaging/rabbitmq/register.ts';
import { openPool } from '@caudal/postgres/pool.ts';
import type { Forwarding } from '@caudal/rpc/server/server.ts';
import { openWaits, type Waits } from '@caudal/rpc/server/waits.ts';
import type { Service } from '@caudal/rpc/types.ts';
import { openArchiveOf } from './archive.ts';
import { type Clients, openClients } from './clients.ts';
import { connectionsOf } from './connections.ts';
import type { DatabaseUrls } from './database-urls.ts';
import { openForwarding, ownerOf } from './forwarding.ts';
import type { Identity } from './identity.ts';
import { type LocalContext, openContext } from './local-context.ts';
import { type MessageSeals, openMessageSeals } from './message-seals.ts';
import { openPersonalData } from './personal-data.ts';
import { contextsOf } from './schema.ts';
import type { Role, RuntimeValues } from './settings/settings.ts';
import { openStores, type Stores } from './stores.ts';
import { openTls, type ProcessTls } from './tls.ts';

export interface App {
  values: RuntimeValues;
  /** Identifies this process as the holder of leases. */
  holder: string;
  urls: DatabaseUrls;
  locals: LocalContext[];
  /** Where the records of calls and commands go. */
  audit: Recorder;
  /** By domain: the logs of its own contexts, and those of other contexts through their LogService. */
  logsFor(context: Context, domains: Iterable<string>): Map<string, LogReader>;
  /** By domain: where queues register with those logs. */
  registriesFor(context: Context, domains: Iterable<string>): Registries;
  /** By context: the processes that run its handlers and relays. Nothing is asked before something joins. */
  members: ReadonlyMap<string, Members>;
  stores: Stores;
  clients: Clients;
  identity: Identity;
  /** Of messages that pass a broker. */
  seals: MessageSeals;
  tls: ProcessTls;
  /** Forwards calls to the owners of contended streams; undefined if this process takes none itself. */
  forwarding: Forwarding | undefined;
  /** Bounds the queries that wait for their caller's writes. */
  waits: Waits;
  /** The services of this process; roles add to them before the server starts. */
  services: Service[];
  lifecycle: Lifecycle;
  has(role: Role): boolean;
  /** The tools of one of its contexts. */
  toolsOf(local: LocalContext): Tools<Settings>;
}

export interface OpenAppOptions {
  values: RuntimeValues;
  urls: DatabaseUrls;
  identity: Identity;
  lifecycle: Lifecycle;
  /** Identifies this process as the holder of leases. */
  holder: string;
  /** The process's name in databases and brokers: `caudal-projector`. */
  name: string;
}

/** Opens stores, clients and contexts of the process. The end of the lifecycle closes them. */
export async function openApp(options: OpenAppOptions): Promise<App> {
  const { values, urls, identity, lifecycle, holder, name } = options;
  const databaseUrl = urls.url;
  const tls = await openTls(values);
  lifecycle.onStop('TLS files', () => tls.stop());
  const embedded = values.DATABASE_URL === undefined;
  const personalData = await openPersonalData(values, embedded ? values.CAUDAL_DATA_DIR : undefined);
  const stores = await openStores(values, name);
  lifecycle.onStop('stores', () => stores.stop());
  // The contexts' data beside the logs can be rebuilt from the logs.
  const pool = openPool({
    url: databaseUrl,
    poolSize: connectionsOf(values).pool,
    applicationName: name,
    derived: true,
  });
  const lockConnections = openLockConnections(databaseUrl);
  const self = ownerOf(values);
  const archive = await openArchiveOf(values);
  lifecycle.onStop('archive', async () => archive?.store.close());
  const locals = contextsOf(values).map((context) =>
    openContext(context, { pool, lockConnections, archive, personalData, ownerUrl: urls.ownerUrl, embedded, self }),
  );
  lifecycle.onStop('contexts', async () => {
    await Promise.all(locals.map((local) => local.stop()));
    await lockConnections.database.close();
  });
  // The statements name their schema: any context's connections will do.
  const audit = openRecorder({ database: locals[0]!.database });
  lifecycle.onStop('audit', () => audit.stop());
  const members = new Map(
    locals.map(({ context, database }) => [context.name, openMembers({ database, process: holder })]),
  );
  lifecycle.onStop('members', async () => {
    await Promise.all([...members.values()].map((of) => of.stop()));
  });
  const forwarding = self && openForwarding(self, identity, locals, tls.calls);
  if (forwarding) {
    lifecycle.onStop('forwarding', () => forwarding.forwarder.stop());
    // Streams go to other processes before this one takes no calls any more.
    const retire = () => void Promise.all(locals.map((local) => local.retire()));
    lifecycle.ending.addEventListener('abort', retire, { once: true });
  }
  const services: Service[] = [];
  const clients = openClients(values, identity, services, { forwarder: forwarding?.forwarder, tls: tls.calls });
  lifecycle.onStop('clients', () => clients.stop());
  const registries = new Map(locals.map(({ context, registry }) => [context.name, registry]));
  const tails = new Map(locals.map(({ context, tail }) => [context.name, tail]));

  return {
    values,
    holder,
    urls,
    locals,
    audit,
    stores,
    clients,
    identity,
    seals: openMessageSeals(values, identity.workloadKeys),
    tls,
    forwarding,
    waits: openWaits(values.CAUDAL_MAX_CONCURRENT_CALLS),
    services,
    lifecycle,
    has: (role) => values.CAUDAL_ROLES.includes(role),
    logsFor: (context, domains) =>
      new Map(
        [...domains].map((domain) => [
          domain,
          tails.get(domain) ?? remoteLog({ domain, client: clients.at(context, LogServiceService, domain) }),
        ]),
      ),
    registriesFor: (context, domains) =>
      new Map(
        [...domains].map((domain) => [
          domain,
          registries.get(domain) ?? remoteRegistry({ domain, client: clients.at(context, LogServiceService, domain) }),
        ]),
      ),
    members,
    toolsOf: ({ context, aggregates, sealed, openTexts, database, seals }) => ({
      ...{ aggregates, sealed, openTexts },
      clock: systemClock,
      ids: newId,
      settings: values as Tools<Settings>['settings'],
      client: (definition) => clients.of(context, definition),
      tables: { database, seals },
    }),
  };
}
