/** `caudal rebuild`: builds a new generation of a view beside the current one, then switches queries to it. */

import { createProgress } from '@caudal/importer/progress.ts';
import { sleep, systemClock } from '@caudal/kernel/time.ts';
import { feedCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { isConsumed } from '@caudal/messaging/rabbitmq/topology.ts';
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
  anew?: boolean;
  json?: boolean;
}

/** A projector needs about two seconds to notice a new generation, and some time to subscribe. */
const FEED_WAIT_MS = 5_000;

export function rebuildCommand(): Command {
  return new Command('rebuild')
    .description('rebuild a view from the logs, and switch queries to it once it is verified')
    .argument('<view>', '"order-details"')
    .option('--accept-failed', "switch even if some events can't be handled; they become dead letters")
    .option('--anew', 'begin anew, even if an interrupted rebuild has left something to go on with')
    .option('--json', 'print the report as one JSON object')
    .addHelpText(
      'after',
      `
Commands and queries continue during the rebuild. If it fails or is interrupted, queries keep reading the old view. A rebuild
that was interrupted, by a signal or an outage, is gone on with if it is started again within an hour. Exit code 1 if the view
could not be built, or if some events could not be handled.

Example: caudal rebuild order-details`,
    )
    .action((view: string, options: Options) =>
      withApp(
        async (system) => {
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
        },
        { name: 'rebuild', resource: view },
      ),
    );
}

async function run(system: App, of: LocalProjection, { acceptFailed, anew }: Options): Promise<RebuildReport> {
  const display = createProgress({ stream: process.stderr, clock: systemClock });
  try {
    return await rebuild({
      ...rebuildOptions(system, of),
      acceptFailed,
      anew,
      onProgress({ step, domain, position, head }) {
        if (domain !== undefined) display.update({ step: domain, done: position!, total: head! });
        else display.update({ step, done: 0, total: 1 });
      },
    });
  } finally {
    display.stop();
  }
}

/** Whether any projector keeps the generation up to date. */
async function isFed(system: App, of: LocalProjection, generation: number): Promise<boolean> {
  const handler = projectionHandler(system, of, generation);
  const broker = handler.inOrder ? undefined : system.stores.broker;
  const [domain] = logsOf(system, of).keys();
  const deadline = performance.now() + FEED_WAIT_MS;
  for (;;) {
    const fed = broker
      ? await isConsumed({ broker, handler: handler.name })
      : await isHeld(of.local.database, feedCheckpoint(handler.name, domain!));
    if (fed) return true;
    if (performance.now() >= deadline || system.lifecycle.ending.aborted) return false;
    await sleep(200, system.lifecycle.ending);
  }
}

function tell(name: string, report: RebuildReport, fed: boolean): void {
  const { generation, replaced, events, views, verified, failed, failedCount } = report;
  const before =
    replaced === undefined ? 'there was no generation before' : `generation ${replaced} had ${views?.before ?? '?'}`;
  say(
    `${name}.${generation}: ${views?.now ?? '?'} views from ${events} events (${before}); ${verified} compared with the log.`,
  );
  say('Queries read this generation now.');
  for (const { stream, version, error } of failed) say(`  can't handle version ${version} of ${stream}: ${error}`);
  if (failedCount > failed.length) say(`  ... and ${failedCount - failed.length} more`);
  if (!fed) {
    say('No projector runs for this view, so new events are missing in it until one does.');
  }
}
