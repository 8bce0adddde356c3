/** `caudal rebuild`: builds a view anew beside the one that queries read, then lets them read the new one. */

import { createProgress } from '@caudal/importer/progress.ts';
import { sleep, systemClock } from '@caudal/kernel/time.ts';
import { feedCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { countConsumers } from '@caudal/messaging/rabbitmq/topology.ts';
import { isHeld } from '@caudal/postgres/checkpoint.ts';
import { type RebuildReport, rebuild } from '@caudal/projections/generations/rebuild.ts';
import { nameOf } from '@caudal/projections/stores/keys.ts';
import type { App } from '@caudal/server/app.ts';
import { type LocalProjection, logsOf, projectionHandler, rebuildOptions } from '@caudal/server/handlers/handlers.ts';
import { Command } from 'commander';
import { say, sayJson } from '../output.ts';
import { findView } from '../views.ts';
import { withApp } from '../with-app.ts';

interface Options {
  acceptFailed?: boolean;
  json?: boolean;
}

/** A projector takes a second to notice a new generation, and a moment to begin. */
const FEED_WAIT_MS = 5_000;

export function rebuildCommand(): Command {
  return new Command('rebuild')
    .description('build a view anew from the logs, and let queries read it once it is right')
    .argument('<view>', '"order-details"')
    .option('--accept-failed', 'switch although some events can not be handled; they become dead letters')
    .option('--json', 'print the report as one JSON object')
    .addHelpText(
      'after',
      `
Commands and queries go on meanwhile. If it fails or is interrupted, queries keep what they have. Exit code 1 if it
could not be built, or some events could not be handled.

Example: caudal rebuild order-details`,
    )
    .action((view: string, options: Options) =>
      withApp(async (system) => {
        const of = findView(system, view);
        const report = await run(system, of, options);
        const fed = await isFed(system, of, report.generation);
        if (options.json) {
          const failed = report.failed.map(({ error, ...event }) => ({ ...event, error: String(error) }));
          sayJson({ view, ...report, failed, fed });
        } else {
          tell(nameOf(of.definition.projection), report, fed);
        }
        process.exitCode = report.failed.length > 0 ? 1 : 0;
      }),
    );
}

async function run(system: App, of: LocalProjection, { acceptFailed }: Options): Promise<RebuildReport> {
  const display = createProgress({ stream: process.stderr, clock: systemClock });
  try {
    return await rebuild({
      ...rebuildOptions(system, of),
      acceptFailed,
      onProgress({ step, domain, position, head }) {
        if (domain !== undefined) display.update({ step: domain, done: position!, total: head! });
        else display.update({ step, done: 0, total: 1 });
      },
    });
  } finally {
    display.stop();
  }
}

/** Whether a projector somewhere keeps the generation up to date. */
async function isFed(system: App, of: LocalProjection, generation: number): Promise<boolean> {
  const handler = projectionHandler(system, of, generation);
  const broker = handler.inOrder ? undefined : system.stores.broker;
  const [domain] = logsOf(system, of).keys();
  const deadline = performance.now() + FEED_WAIT_MS;
  for (;;) {
    const fed = broker
      ? (await countConsumers({ broker, handler })) > 0
      : await isHeld(of.local.database, feedCheckpoint(handler.name, domain!));
    if (fed) return true;
    if (performance.now() >= deadline || system.lifecycle.ending.aborted) return false;
    await sleep(200, system.lifecycle.ending);
  }
}

function tell(name: string, report: RebuildReport, fed: boolean): void {
  const { generation, replaced, events, views, verified, failed, failedCount } = report;
  const before =
    replaced === undefined ? 'there was none before' : `generation ${replaced} had ${views?.before ?? '?'}`;
  say(
    `${name}.${generation}: ${views?.now ?? '?'} views from ${events} events (${before}); ${verified} compared with the log.`,
  );
  say('Queries read it now.');
  for (const { stream, version, error } of failed) say(`  can't handle version ${version} of ${stream}: ${error}`);
  if (failedCount > failed.length) say(`  ... and ${failedCount - failed.length} more`);
  if (!fed) {
    say(
      'No projector feeds it: none runs for this view, so what happens from now on is not in it. It will be once one runs.',
    );
  }
}
