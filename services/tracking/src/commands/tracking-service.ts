/** Takes traces in: caudal.tracking.v1.TrackingService. */
import { TrackingServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { service } from '@caudal/rpc/types.ts';
import { type AcceptDependencies, acceptTraces } from './accept-traces.ts';

export function trackingService(dependencies: AcceptDependencies) {
  return service(TrackingServiceService, {
    recordTraces: ({ traces }) => acceptTraces(dependencies, traces),
  });
}
