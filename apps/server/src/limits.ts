/** The bounds of calls and callers, from the settings: docs/limits.md. */
import { openSharedCounts } from '@caudal/cache/shared-counts.ts';
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { trustedProxies } from '@caudal/rpc/server/address.ts';
import type { ServerOptions } from '@caudal/rpc/server/server.ts';
import type { RuntimeValues } from './settings/settings.ts';

/** The options of the server that bound its calls. Counts in Redis end with the lifecycle. */
export function openLimits(
  values: RuntimeValues,
  lifecycle: Lifecycle,
): Pick<ServerOptions, 'limits' | 'quotas' | 'sharedCounts' | 'trustedProxies'> {
  const { REDIS_URL: redis, CAUDAL_NAMESPACE: namespace = 'caudal' } = values;
  const sharedCounts = redis ? openSharedCounts(redis, namespace) : undefined;
  if (sharedCounts) lifecycle.onStop('counts', async () => sharedCounts.stop());
  return {
    limits: {
      maxConcurrent: values.CAUDAL_MAX_CONCURRENT_CALLS,
      maxHeavy: values.CAUDAL_MAX_HEAVY_CALLS,
      requestMemoryBytes: values.CAUDAL_REQUEST_MEMORY,
      requestBodyMs: values.CAUDAL_REQUEST_BODY_TIMEOUT,
    },
    quotas: {
      light: values.CAUDAL_RATE_LIMIT_LIGHT.quota,
      read: values.CAUDAL_RATE_LIMIT_READ.quota,
      write: values.CAUDAL_RATE_LIMIT_WRITE.quota,
      heavy: values.CAUDAL_RATE_LIMIT_HEAVY.quota,
      webhook: values.CAUDAL_RATE_LIMIT_WEBHOOK.quota,
      failed: values.CAUDAL_RATE_LIMIT_FAILED.quota,
    },
    sharedCounts,
    trustedProxies: trustedProxies(values.CAUDAL_TRUSTED_PROXIES ?? []),
  };
}
