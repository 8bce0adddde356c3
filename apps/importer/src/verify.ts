/** Reads the system and reconciles, again and again until it does: views follow the log, at a distance. */
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

/** Longer than two rounds of reconciliation, within which views recover what a queue lost. */
const SETTLE_MS = 90_000;
const PAUSE_MS = 1_000;

/** What the system says, and how that compares: when all checks are ok, or else after a minute and a half. */
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
