/** Takes traces in: caudal.tracking.v1.TrackingService. */
import { TrackingServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { service } from '@caudal/rpc/types.ts';
import { maxTraces } from '../carriers/fields.ts';
import { type CarrierEndpoint, carrierWebhook } from '../carriers/webhook.ts';
import { patientPut } from '../queue/patient-put.ts';
import { messageOf } from '../trace-message.ts';
import { type AcceptDependencies, acceptTraces } from './accept-traces.ts';

export interface TrackingDependencies extends AcceptDependencies {
  /** The carriers that push, by name. */
  carriers: ReadonlyMap<string, CarrierEndpoint>;
}

export function trackingService({ carriers, ...accepting }: TrackingDependencies) {
  const receive = carrierWebhook({
    carriers,
    clock: accepting.clock,
    async record(traces) {
      for (let from = 0; from < traces.length; from += maxTraces)
        await acceptTraces(accepting, traces.slice(from, from + maxTraces).map(messageOf));
    },
  });
  return service(TrackingServiceService, {
    recordTraces: ({ traces }) => acceptTraces(accepting, traces),
    async streamTraces({ traces }, call) {
      const queue = { put: patientPut(accepting.queue, call) };
      return { ...(await acceptTraces({ ...accepting, queue }, traces)), error: undefined };
    },
    async receiveCarrierPush({ carrier, body, signature, credential }) {
      const { accepted, refused } = await receive({
        ...{ carrier, body },
        headers: { 'webhook-signature': signature, credential },
      });
      return { accepted, refused: refused.map(({ field, problem }) => ({ field, problem })) };
    },
  });
}
