/** RabbitMQ's management API. */
import { unavailable } from '@caudal/kernel/errors.ts';

export interface ManagementOptions {
  /** `http://user:password@host:15672` */
  managementUrl: string;
  /** `/` if absent. */
  vhost?: string;
}

const timeoutMs = 10_000;

/**
 * Calls the API. `path`: below the vhost's part of `resource`, each part as it is: `['policies', 'caudal-handlers']`
 * becomes `/api/policies/%2F/caudal-handlers`. UNAVAILABLE if it can't be reached.
 */
export async function askManagement(
  { managementUrl, vhost = '/' }: ManagementOptions,
  [resource, ...rest]: [string, ...string[]],
  request: RequestInit = {},
): Promise<{ status: number; text: string }> {
  const url = new URL(managementUrl);
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const path = ['api', resource, vhost, ...rest].map(encodeURIComponent).join('/');
  const response = await fetch(new URL(`/${path}`, `${url.protocol}//${url.host}`), {
    ...request,
    headers: {
      authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
      'content-type': 'application/json',
    },
    // Credentials do not follow to another address, or to plain HTTP.
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error: unknown) => {
    throw unavailable('RabbitMQ management', error);
  });
  const text = await response.text();
  if (response.status >= 500) throw unavailable('RabbitMQ management', text);
  return { status: response.status, text };
}

/** The queues that are bound to an exchange, each with its binding keys. Errors: UNAVAILABLE, and a refusal's text. */
export async function boundQueues(
  options: ManagementOptions,
  exchange: string,
): Promise<{ queue: string; keys: string[] }[]> {
  const { status, text } = await askManagement(options, ['exchanges', exchange, 'bindings', 'source']);
  if (status === 404) return [];
  if (status >= 300) throw new Error(`RabbitMQ does not say what is bound to ${exchange}: ${status} ${text}`);
  const bindings = JSON.parse(text) as { destination: string; destination_type: string; routing_key: string }[];
  const queues = bindings.filter(({ destination_type }) => destination_type === 'queue');
  return [...Map.groupBy(queues, ({ destination }) => destination)].map(([queue, of]) => ({
    queue,
    keys: of.map(({ routing_key }) => routing_key),
  }));
}
