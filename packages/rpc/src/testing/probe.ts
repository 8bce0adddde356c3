/** The handlers of the tests' own service (proto/caudal/probe/v1/probe.proto), with a method for each option. */
import { useContract } from '@caudal/contract/descriptors.ts';
import { type Call, type Handlers, type Service, service } from '../types.ts';
import { type Seen, start } from './fixture.ts';
import { type Probe, ProbeQueryServiceService, ProbeServiceService } from './gen/caudal/probe/v1/probe.ts';
import { probeContract } from './probe-contract.ts';

useContract(probeContract());

export const webhookSetting = 'PROBE_DEVICES_WEBHOOK_SECRET';
export const [secret, nextSecret] = ['old-secret-'.padEnd(32, 'x'), 'new-secret-'.padEnd(32, 'y')] as const;

/** The services of probes. `seen` receives every call. */
export function probeServices(seen: Seen[] = []): Service[] {
  const note = (request: Partial<Probe>, call: Call): Probe => {
    seen.push({ request, call });
    return { probeId: 'p-1', ownerId: '', note: '', ...request };
  };
  const commands: Handlers<typeof ProbeServiceService> = {
    createProbe: async ({ probeId, ownerId, note: text }, call) => note({ probeId, ownerId, note: text }, call),
    startProbe: async ({ probeId, note: text }, call) => note({ probeId, note: text }, call),
    importProbe: async ({ probeId, note: text }, call) => note({ probeId, note: text.slice(0, 10) }, call),
    checkProbe: async ({ probeId }, call) => note({ probeId }, call),
    reportMeasurement: async ({ probeId, note: text }, call) => note({ probeId, note: text }, call),
    sendFeedback: async ({ note: text }, call) => note({ note: text }, call),
  };
  const queries: Handlers<typeof ProbeQueryServiceService> = {
    async getProbe({ probeId }, call) {
      call.authorize('alice');
      return note({ probeId }, call);
    },
    getNewestProbe: async ({ ownerId }, call) => note({ ownerId }, call),
  };
  return [service(ProbeServiceService, commands), service(ProbeQueryServiceService, queries)];
}

/** A server with such services and both secrets. */
export const startWith = (services: Service[], options: Parameters<typeof start>[0] = {}) =>
  start({ webhookSecrets: { [webhookSetting]: [secret, nextSecret] }, ...options }, services);

/** A server with these services and both secrets. */
export const startProbes = (seen: Seen[], options: Parameters<typeof start>[0] = {}) =>
  startWith(probeServices(seen), options);
