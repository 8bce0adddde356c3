/**
 * Bounds of the queues, as RabbitMQ policies: an operator can change them while the system runs. A full queue drops its
 * oldest messages: an alert on its length fires, and reconciliation reads the messages from the log. Refusing new
 * messages instead would hold up the relay, and with it every other handler.
 */
import { isDeepStrictEqual } from 'node:util';
import { askManagement, type ManagementOptions } from './management.ts';
import { noDeliveryLimit } from './topology.ts';

export interface PolicyOptions extends ManagementOptions {
  /** The broker's prefix. Without one the policies apply to every queue of the vhost. */
  prefix?: string;
  /** Messages that a handler's queue holds at most; 1,000,000 if absent. */
  maxLength?: number;
  /** Patterns of the names of handlers, by their number of parts: each part holds a part of `maxLength`. */
  divided?: ReadonlyMap<number, string[]>;
  /** Messages that a queue of dead letters holds at most; 100,000 if absent. */
  maxDeadLetters?: number;
  /**
   * How often a message is delivered before the broker drops it; 100 if absent. It is delivered again only when its
   * consumer dies, and a dropped one is read from the log. (Without a policy RabbitMQ 4 has 20, RabbitMQ 3 no limit.)
   */
  deliveryLimit?: number;
}

const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

interface Policy {
  pattern: string;
  definition: Record<string, unknown>;
  priority: number;
  'apply-to': 'queues';
}

/** By name. */
function policiesOf(options: PolicyOptions): Map<string, Policy> {
  const { prefix = '', maxLength = 1_000_000, maxDeadLetters = 100_000, deliveryLimit = 100 } = options;
  const { divided = new Map<number, string[]>() } = options;
  // Only one policy applies to a queue. Those of a system without a prefix match every queue of the vhost.
  const priority = prefix === '' ? 0 : 2;
  const parts = [...divided].map(([count, handlers]): [string, Policy] => [
    `${prefix}caudal-parts-${count}`,
    {
      pattern: `^${literally(prefix)}(${handlers.join('|')})\\.p[0-9]+$`,
      priority: priority + 1,
      definition: {
        'max-length': Math.ceil(maxLength / count),
        overflow: 'drop-head',
        'delivery-limit': deliveryLimit,
      },
      'apply-to': 'queues',
    },
  ]);
  return new Map<string, Policy>([
    ...parts,
    [
      `${prefix}caudal-handlers`,
      {
        pattern: `^${literally(prefix)}`,
        priority,
        definition: { 'max-length': maxLength, overflow: 'drop-head', 'delivery-limit': deliveryLimit },
        'apply-to': 'queues',
      },
    ],
    [
      `${prefix}caudal-work`,
      {
        // Its messages exist nowhere else: it refuses new ones, and drops none. Its bound is its argument (work-queue.ts).
        pattern: `^${literally(prefix)}.*\\.work$`,
        priority: priority + 1,
        definition: { overflow: 'reject-publish', 'delivery-limit': noDeliveryLimit },
        'apply-to': 'queues',
      },
    ],
    [
      `${prefix}caudal-dead-letters`,
      {
        pattern: `^${literally(prefix)}.*\\.dead$`,
        priority: priority + 1,
        definition: { 'max-length': maxDeadLetters, overflow: 'drop-head', 'delivery-limit': noDeliveryLimit },
        'apply-to': 'queues',
      },
    ],
  ]);
}

function refusal(name: string, { status, text }: { status: number; text: string }): Error {
  return new Error(`RabbitMQ refuses the policy ${name}: ${status} ${text}`);
}

/**
 * Sets the policies `<prefix>caudal-handlers`, `<prefix>caudal-parts-<P>`, `<prefix>caudal-work` and `<prefix>caudal-dead-letters`, or replaces them. UNAVAILABLE if the
 * management API can't be reached; an error with the API's answer if it refuses.
 */
export async function applyPolicies(options: PolicyOptions): Promise<void> {
  for (const [name, policy] of policiesOf(options)) {
    const answer = await askManagement(options, ['policies', name], { method: 'PUT', body: JSON.stringify(policy) });
    if (answer.status >= 300) throw refusal(name, answer);
  }
}

/** The names of the policies that `applyPolicies` would create or change. Errors: those of `applyPolicies`. */
export async function pendingPolicies(options: PolicyOptions): Promise<string[]> {
  const pending: string[] = [];
  for (const [name, policy] of policiesOf(options)) {
    const answer = await askManagement(options, ['policies', name]);
    if (answer.status !== 404 && answer.status >= 300) throw refusal(name, answer);
    const there = answer.status === 404 ? {} : (JSON.parse(answer.text) as Record<string, unknown>);
    const same = Object.entries(policy).every(([key, value]) => isDeepStrictEqual(there[key], value));
    if (!same) pending.push(name);
  }
  return pending;
}
