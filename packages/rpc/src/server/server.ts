/** Starts the listeners of a process: gRPC with health and reflection on one port, REST on another. */
import { setTimeout as delay } from 'node:timers/promises';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { contract } from '@caudal/contract/descriptors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import type { ForwardKeys } from '../forward/forward-keys.ts';
import type { Forwarder } from '../forward/forwarder.ts';
import { openReceiver } from '../forward/receiver.ts';
import { type GrpcLimits, grpcServer } from '../grpc/grpc.ts';
import type { Health } from '../grpc/health.ts';
import { type Address, openPort, type PortLimits } from '../grpc/port.ts';
import { type RestOptions, startRest } from '../rest/rest.ts';
import type { Service } from '../types.ts';
import { type TrustedProxies, trustedProxies } from './address.ts';
import { type AdmissionLimits, openAdmission } from './admission.ts';
import type { AuditTrail } from './audit.ts';
import { type Authenticate, developer } from './auth.ts';
import { webhookVerifiers } from './caller.ts';
import { withoutServices } from './client-certificate.ts';
import { connectionGuard } from './connections.ts';
import { endpoints } from './endpoint.ts';
import { openPatience } from './patience.ts';
import { createPipeline, type Limits } from './pipeline.ts';
import { openRateLimits, type Quotas, type SharedCounts } from './rate-limits.ts';
import type { ServerTls } from './tls.ts';

const log = logger('rpc');

export interface ServerOptions {
  services: Service[];
  /** How callers are authenticated. `off`, for development only: every caller has all permissions. */
  auth: Authenticate | 'off';
  grpc: Address;
  /** REST is not served if absent. */
  rest?: Address & RestOptions;
  /** The TLS of both ports; absent: both are plain. */
  tls?: ServerTls | undefined;
  /** The secrets of webhooks, by the setting that the contract names. */
  webhookSecrets?: Record<string, readonly string[]>;
  /** Forwards calls to the owners of their streams, and takes those that others forward; absent: neither. */
  forwarding?: Forwarding;
  /** How many calls a caller may make, by class; a class without a quota is not limited. */
  quotas?: Quotas;
  /** Counts that the processes share; absent: each counts for itself. */
  sharedCounts?: SharedCounts | undefined;
  /** The proxies whose `X-Forwarded-For` is believed; none if absent. */
  trustedProxies?: TrustedProxies;
  /** The present epoch of the log of a stream, for consistency tokens; 0 for all if absent. */
  epochOf?(stream: string): number;
  /** Where the records of calls go: docs/audit.md. Absent: nowhere. */
  audit?: AuditTrail;
  limits?: Partial<ServerLimits>;
  /** Lets all callers list the services; off in production. */
  reflection?: boolean;
  /** Whether the process is alive; true if absent. */
  live?(): boolean;
  /** Whether the process is ready, in addition to `setReady`. Called for each health request; true if absent. */
  ready?(): boolean;
  /** Fires when the process begins to end, a while before `stop`: REST connections end with their next answer. */
  ending?: AbortSignal;
}

export interface Forwarding {
  /** This process, as the rows of its streams name it. */
  instance: string;
  /** Where other processes reach it, as these rows say. */
  address: string;
  /** Proofs by the keys of services; absent where there are none. */
  keys?: ForwardKeys | undefined;
  forwarder: Forwarder;
  /** For how long this process owns the stream from now on; 0 if it does not. */
  ownedMs(stream: string): number;
}

export interface ServerLimits extends Limits, GrpcLimits, PortLimits, AdmissionLimits {
  /** How long `stop` waits for calls in flight, in milliseconds. */
  drainMs: number;
}

export const defaultLimits: ServerLimits = {
  maxConcurrent: 512,
  maxHeavy: 8,
  defaultTimeoutMs: 5_000,
  maxTimeoutMs: 60_000,
  maxMessageBytes: 4 * 1024 * 1024,
  requestMemoryBytes: 32 * 1024 * 1024,
  requestBodyMs: 10_000,
  answerMs: 30_000,
  maxConnectionAgeMs: 300_000,
  maxConnections: 4_096,
  plainConnectionMs: 10_000,
  drainMs: 10_000,
};

const tellEveryMs = 1_000;

export interface RunningServer extends Running {
  grpcPort: number;
  /** Undefined if REST is not served. */
  restPort: number | undefined;
  /** Sets the answer of `/readyz` and of gRPC health, if `ready` is true as well. Not ready until it is called. */
  setReady(ready: boolean): void;
}

/**
 * Starts the server. Rejects if a port is taken, if a service breaks the contract (see `endpoints`), or if a webhook
 * has no secret. `stop` takes no new calls and waits for those in flight. After `drainMs` it ends them.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const limits = { ...defaultLimits, ...options.limits };
  if (options.auth === 'off') log.warn('authentication is off: every caller may do everything');
  const authenticate: Authenticate = options.auth === 'off' ? () => developer : options.auth;
  const served = endpoints(options.services);
  const webhooks = webhookVerifiers(served, options.webhookSecrets ?? {});
  const { forwarding } = options;
  const pipeline = createPipeline(limits, {
    forwarder: forwarding?.forwarder,
    epochOf: options.epochOf,
    audit: options.audit,
  });
  const trusted = options.trustedProxies ?? trustedProxies([]);
  const patience = openPatience();
  const rates = openRateLimits(options.quotas ?? {}, options.sharedCounts);
  const admission = openAdmission({
    places: pipeline.places,
    rates,
    patience,
    trusted,
    limits,
  });
  const mayConnect = () => connectionGuard(limits.maxConnections, trusted);
  const doors = { pipeline, admission, authenticate };
  const receiver =
    forwarding &&
    openReceiver({
      endpoints: served,
      pipeline,
      authenticate,
      instance: forwarding.instance,
      address: forwarding.address,
      keys: forwarding.keys,
      ownedMs: forwarding.ownedMs,
      audit: options.audit,
      ending: options.ending,
    });
  const leaving = new AbortController();
  const grpc = grpcServer(served, doors, limits, {
    receiver,
    clientName: options.tls?.clientName,
    leaving: leaving.signal,
  });
  const setServing = addHealth(
    grpc,
    served.map(({ contract: { service } }) => service),
  );
  if (options.reflection)
    addReflection(
      grpc,
      served.map(({ contract: { service } }) => service),
    );

  let said = false;
  const isReady = () => said && (options.ready?.() ?? true);
  // gRPC's health service is not polled, so its watchers get a change up to a second later.
  let told = false;
  const tell = () => {
    if (told === isReady()) return;
    told = !told;
    setServing(told);
  };
  const health: Health = (path) => {
    if (path === '/livez')
      return (options.live?.() ?? true) ? { status: 200, text: 'ok' } : { status: 503, text: 'stuck' };
    if (path === '/readyz') return isReady() ? { status: 200, text: 'ok' } : { status: 503, text: 'not ready' };
    return undefined;
  };
  const port = await openPort(grpc, health, options.grpc, limits, mayConnect(), options.tls);
  const rest =
    options.rest &&
    (await startRest({
      endpoints: served,
      ...doors,
      authenticate: options.tls?.clientName === undefined ? authenticate : withoutServices(authenticate),
      mayConnect: mayConnect(),
      webhooks,
      health,
      limits,
      ending: options.ending,
      tls: options.tls,
      ...options.rest,
    }).catch((error) => {
      port.destroy();
      throw error;
    }));
  log.info({ grpc: port.port, rest: rest?.port, methods: served.length }, 'serving');
  const telling = setInterval(tell, tellEveryMs).unref();

  const setReady = (value: boolean) => {
    said = value;
    tell();
  };
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    setReady(false);
    clearInterval(telling);
    rates.stop();
    const portClosed = port.close();
    // Sends GOAWAY, so that clients use another server. Its callback is useless: Node 24 marks the sessions of a
    // closing server as closed at once, and grpc-js takes this for their end while calls are still in flight.
    grpc.tryShutdown(() => {});
    leaving.abort();
    const restClosed = rest?.close();
    const closed = Promise.all([portClosed, restClosed]);
    const bound = new AbortController();
    const wait = (ms: number) => delay(ms, undefined, { signal: bound.signal }).catch(() => {});
    // A health watch never ends by itself. So with no call in flight, 250 ms are enough for the last answers to be
    // sent.
    const drained = async () => {
      do {
        await pipeline.places.idle();
        await wait(250);
      } while (pipeline.places.active() > 0 && !bound.signal.aborted);
    };
    await Promise.race([closed, drained(), wait(limits.drainMs)]);
    bound.abort();
    if (pipeline.places.active() > 0) {
      log.warn({ calls: pipeline.places.active() }, 'calls in flight were ended');
      pipeline.abort();
      await delay(50);
    }
    grpc.forceShutdown();
    port.destroy();
    rest?.destroy();
    await restClosed;
    patience.stop();
    log.info('stopped');
  };

  return {
    grpcPort: port.port,
    restPort: rest?.port,
    setReady,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** grpc.health.v1 for the whole server (empty name) and for each service. */
function addHealth(grpc: Server, services: string[]): (serving: boolean) => void {
  const all = new Set(['', ...services]);
  const implementation = new HealthImplementation(Object.fromEntries([...all].map((name) => [name, 'NOT_SERVING'])));
  implementation.addToServer(grpc);
  return (serving) => {
    for (const name of all) implementation.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  };
}

function addReflection(grpc: Server, services: string[]): void {
  const files = contract().files.file.map((file) => Buffer.from(toBinary(FileDescriptorProtoSchema, file)));
  // The library expects the output of proto-loader, but reads only the descriptors.
  const loaded = { contract: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos: files } };
  new ReflectionService(loaded as never, { services: [...new Set(services)] }).addToServer(grpc);
}
