/** The settings of what callers can take of a process: docs/limits.md. */
import type { Settings } from '@caudal/config/config.ts';
import { type Setting, setting } from '@caudal/config/setting.ts';
import { parseProxies } from './proxies.ts';
import { parseRateLimit, rateLimitExpects } from './rate-limits.ts';

/** The settings of rates, one for each class. */
function rateLimits<Class extends string>(classes: Record<Class, { calls: string; of: string }>) {
  const made = (Object.entries(classes) as [Class, { calls: string; of: string }][]).map(([name, { calls, of }]) => [
    `CAUDAL_RATE_LIMIT_${name}`,
    setting.parsed(
      {
        description: `How many calls ${of} a caller may make; ten times as many if its token is good for all owners.`,
        expects: rateLimitExpects,
        secrecy: 'public',
        default: calls,
      },
      parseRateLimit,
    ),
  ]);
  return Object.fromEntries(made) as Record<`CAUDAL_RATE_LIMIT_${Class}`, Setting<ReturnType<typeof parseRateLimit>>>;
}

export const limitSettings = {
  CAUDAL_MAX_CONCURRENT_CALLS: setting.int({
    description: 'Calls in flight at the same time; more are refused with RESOURCE_EXHAUSTED.',
    default: '1000',
    min: 1,
  }),
  CAUDAL_MAX_HEAVY_CALLS: setting.int({
    description:
      'Searches, sums and other calls that the contract calls heavy, which run at the same time. A caller has half of them; further ones wait for 2 s at most.',
    default: '8',
    min: 2,
    max: 1_000,
  }),
  CAUDAL_REQUEST_MEMORY: setting.bytes({
    description:
      'What requests in flight may hold, unfinished ones included, and as much for answers. A caller gets a quarter of it. While they are converted they take about three times as much.',
    default: '32MiB',
    min: 16 * 2 ** 20,
    max: 16 * 2 ** 30,
  }),
  CAUDAL_REQUEST_BODY_TIMEOUT: setting.duration({
    description:
      "How long a request's body or message may take to arrive; a second longer for each 16 KiB that have arrived, up to a minute.",
    default: '10s',
    min: 1_000,
    max: 60_000,
  }),
  ...rateLimits({
    LIGHT: { calls: '10000/10s', of: 'that the contract calls light' },
    READ: { calls: '5000/10s', of: 'without side effects' },
    WRITE: { calls: '5000/10s', of: 'with side effects' },
    HEAVY: { calls: '1000/10s', of: 'that the contract calls heavy, such as searches' },
    WEBHOOK: { calls: '10000/10s', of: 'that are webhooks' },
  }),
  CAUDAL_RATE_LIMIT_FAILED: setting.parsed(
    {
      description:
        'How many wrong tokens, API keys and signatures of webhooks may come from an address before no further one is checked. Callers that were known before go on.',
      expects: rateLimitExpects,
      secrecy: 'public',
      default: '1000/10s',
    },
    parseRateLimit,
  ),
  CAUDAL_TRUSTED_PROXIES: setting.parsed(
    {
      description:
        'The proxies whose X-Forwarded-For is believed, which tells callers without a token apart. Without it the address of the connection counts.',
      expects: 'IP addresses and networks with commas between them, such as 10.0.0.0/8,fd00::/8',
      secrecy: 'public',
      optional: true,
    },
    parseProxies,
  ),
} satisfies Settings;
