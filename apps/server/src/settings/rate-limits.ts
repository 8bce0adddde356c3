/** The settings of rates: `5000/10s`, or `off`. */
import type { Quota } from '@caudal/rpc/server/rate-limits.ts';

export const rateLimitExpects = '"off", or calls and a time of 1s to 1h, such as 5000/10s';

const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000 };

/** The quota; `undefined` within the object if there is no limit. Throws an Error that says what is wrong. */
export function parseRateLimit(text: string): { quota: Quota | undefined } {
  if (text === 'off') return { quota: undefined };
  const [, calls, amount, unit] = /^([1-9]\d{0,8})\/(\d{1,4})([smh])$/.exec(text) ?? [];
  const windowMs = Number(amount) * units[unit ?? '']!;
  if (calls === undefined || !(windowMs >= 1_000 && windowMs <= 3_600_000))
    throw new Error(`"${text}" is not ${rateLimitExpects}`);
  return { quota: { calls: Number(calls), windowMs } };
}
