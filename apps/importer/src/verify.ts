/** Reads the system and reconciles, repeatedly until all checks are ok, since views lag behind the log. */
import type { Clock } from '@caudal/kernel/time.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { ImportApi } from './api.ts';
import type { Check } from './checks.ts';
import { type Facts, readFacts } from './facts.ts';
import type { Outcome } from './outcome.ts';
import type { Plan } from './plan.ts';
import { reconcile } from './reconcile.ts';

export interface VerifyOptions {
  plan: Plan;
  outcome: Outcome;
  api: ImportApi;
  clock: Clock;
  signal: AbortSignal;
}

/** Longer than two reconciliations of handlers with the log, in which views recover events that a queue has lost. */
const SETTLE_MS = 90_000;
const PAUSE_MS = 1_000;

/** The system's state and the checks: once all checks are ok, or else after a minute and a half. */
export async function verifyImport(options: VerifyOptions): Promise<{ facts: Facts; checks: Check[] }> {
  const { plan, outcome, clock, signal } = options;
  const giveUpAt = clock().getTime() + SETTLE_MS;
  for (;;) {
    const facts = await readFacts({ ...options, idPrefix: outcome.idPrefix });
    const checks = reconcile({ plan, outcome, facts });
    if (checks.every(({ ok }) => ok) || clock().getTime() >= giveUpAt) return { facts, checks };
    await sleep(PAUSE_MS, signal);
  }
}
