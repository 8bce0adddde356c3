/** The job of each context that moves old months to the archive: docs/archive.md. */
import { createHash } from 'node:crypto';
import type { Archiving, ContextJob } from '@caudal/context/context.ts';
import { archiveMonths } from '@caudal/eventlog/archive/archive-months.ts';
import type { GuardedDatabase } from '@caudal/jobs/types.ts';
import { oneAtATime } from '@caudal/kernel/concurrency.ts';
import { within } from '@caudal/kernel/time.ts';
import type { LocalContext } from '../local-context.ts';
import type { RuntimeValues } from '../settings/settings.ts';
import { asOwner } from './as-owner.ts';

/** A month is written and read back: 250 million events at 6,000 a second. */
const ARCHIVE_MS = 12 * 3_600_000;

/** Of all contexts of the process: each takes half of its time, and tens of megabytes. */
const oneByOne = oneAtATime();

/**
 * Does the work when that of the other contexts has ended. Once it has begun it ends by its own signal. Throws the signal's reason if
 * that has fired.
 */
export async function inTurn(work: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  let begun = false;
  const done = oneByOne(async () => {
    if (signal.aborted) return;
    begun = true;
    await work();
  });
  await within(ARCHIVE_MS, done, signal);
  if (begun) await done;
  signal.throwIfAborted();
}

/** Between one and two at night, for each context at another minute: their processes share a server and a store. */
export const scheduleOf = (context: string): string =>
  `${createHash('sha256').update(context).digest().readUInt32BE() % 60} 1 * * *`;

/** The job that moves old months; its lease is also that of putting one back. */
export function archiving(local: LocalContext, values: RuntimeValues): ContextJob {
  const { context, archive } = local;
  const name = 'archive-months';
  return {
    name,
    description:
      'Moves old months of the log to the archive, if CAUDAL_ARCHIVE names one, after it has read them back from there.',
    schedule: scheduleOf(context.name),
    timeoutMs: ARCHIVE_MS,
    async run({ database }, { signal, token }) {
      if (!archive) return;
      const afterMonths = values.CAUDAL_ARCHIVE_AFTER_MONTHS;
      const move = () =>
        asOwner(local, { name, token, database }, (databases) =>
          archiveMonths({ ...databases, archive, domain: context.name, afterMonths, signal }),
        );
      await inTurn(move, signal);
    },
  };
}

/** What a context's own job needs that moves rows of its tables. `database`: of its run. */
export function archivingTools(local: LocalContext, database: GuardedDatabase): Archiving | undefined {
  const { archive } = local;
  if (!archive) return undefined;
  return {
    archive,
    asOwner: ({ name, token, signal }, work) =>
      inTurn(() => asOwner(local, { name, token, database }, (of) => work(of.database)), signal),
  };
}
