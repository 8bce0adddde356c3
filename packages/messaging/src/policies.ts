/**
 * Bounds of the queues, as RabbitMQ policies: they can be changed while everything runs, by an operator too.
 *
 * A queue that is full drops its oldest messages: an alert on its length tells, the sweep reads them from the log. The
 * other choice, refusing new ones, would hold up the relay and with it every other handler.
 */
import { unavailable } from '@caudal/kernel/errors.ts';

export interface PolicyOptions {
  /** `http://user:password@host:15672` */
  managementUrl: string;
  /** `/` if absent. */
  vhost?: string;
  /** The broker's prefix. Without one the policies are for every queue of the vhost. */
  prefix?: string;
  /** Messages that a handler's queue holds at most; 1,000,000 if absent. */
  maxLength?: number;
  /** Messages that a queue of dead letters holds at most; 100,000 if absent. */
  maxDeadLetters?: number;
  /**
   * How often a message is delivered before the broker drops it; 100 if absent. It comes back only when a consumer
   * dies over it, and what is dropped comes from the log. (RabbitMQ 4 has 20 where no policy says otherwise; 3 has none.)
   */
  deliveryLimit?: number;
}

/** RabbitMQ 3 can't say "no limit" in a policy; nothing is delivered this often. */
const noDeliveryLimit = 1_000_000_000;
const timeoutMs = 10_000;

const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/**
 * Sets the policies `<prefix>caudal-handlers` and `<prefix>caudal-dead-letters`, or replaces them. UNAVAILABLE if the
 * management API can't be reached; an error with its answer if it refuses.
 */
export async function applyPolicies(options: PolicyOptions): Promise<void> {
  const { vhost = '/', prefix = '', maxLength = 1_000_000, maxDeadLetters = 100_000, deliveryLimit = 100 } = options;
  const url = new URL(options.managementUrl);
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;

  const put = async (name: string, policy: { pattern: string; priority: number; definition: object }) => {
    const path = `/api/policies/${encodeURIComponent(vhost)}/${encodeURIComponent(prefix + name)}`;
    const response = await fetch(new URL(path, `${url.protocol}//${url.host}`), {
      method: 'PUT',
      headers: {
        authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ ...policy, 'apply-to': 'queues' }),
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: unknown) => {
      throw unavailable('RabbitMQ management', error);
    });
    const answer = await response.text();
    if (response.status >= 500) throw unavailable('RabbitMQ management', answer);
    if (!response.ok) throw new Error(`RabbitMQ refuses the policy ${prefix}${name}: ${response.status} ${answer}`);
  };

  await put('caudal-handlers', {
    pattern: `^${literally(prefix)}`,
    priority: 0,
    definition: { 'max-length': maxLength, overflow: 'drop-head', 'delivery-limit': deliveryLimit },
  });
  await put('caudal-dead-letters', {
    pattern: `^${literally(prefix)}.*\\.dead$`,
    priority: 1,
    definition: { 'max-length': maxDeadLetters, overflow: 'drop-head', 'delivery-limit': noDeliveryLimit },
  });
}
