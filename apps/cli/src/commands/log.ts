/**
 * `caudal log`: `show` prints the events of a stream in readable form; `begin-epoch` is a step after some fail-overs; the months are in
 * log-months.ts.
 */
import type { Entity } from '@caudal/contract/entity.ts';
import { eventJson, withoutPersonal } from '@caudal/contract/event-json.ts';
import { metadataOf, occurredAt } from '@caudal/eventlog/codec.ts';
import { beginEpoch } from '@caudal/eventlog/epochs.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { App } from '@caudal/server/app.ts';
import { onOwnersDatabase } from '@caudal/server/roles/as-owner.ts';
import { Command } from 'commander';
import { count } from '../arguments.ts';
import { monthsCommand, restoreMonthCommand } from '../log-months.ts';
import { indented, say, sayJson } from '../output.ts';
import { findStream } from '../streams.ts';
import { pick } from '../usage.ts';
import { withApp } from '../with-app.ts';

interface Options {
  from: number;
  limit?: number;
  personal?: boolean;
  json?: boolean;
}

export function logCommand(): Command {
  return new Command('log')
    .description('inspect the event logs')
    .addCommand(
      new Command('show')
        .description('show the events of a stream')
        .argument('<stream>', '<context>.<entity>/<id>')
        .option('--from <version>', 'the first version to show', count, 1)
        .option('--limit <n>', 'the largest number of events to show', count)
        .option('--personal', 'show personal data, which is replaced by *** otherwise')
        .option('--json', 'one JSON object per line, for each event')
        .addHelpText('after', '\nExample: caudal log show orders.order/1001 --from 3 --limit 10')
        .action((stream: string, options: Options) =>
          withApp(
            (system) => show(system, stream, options),
            options.personal ? { name: 'log show --personal', resource: stream } : undefined,
          ),
        ),
    )
    .addCommand(monthsCommand())
    .addCommand(restoreMonthCommand())
    .addCommand(beginEpochCommand());
}

function beginEpochCommand(): Command {
  return new Command('begin-epoch')
    .description('tell a log that it may have lost its last events, where the server does not show that by itself')
    .argument('<context>', 'whose log it is')
    .option('--after <position>', "the last position that is not lost; the log's end if absent", count)
    .addHelpText(
      'after',
      `
Needed where docs/fail-over.md says so: a managed server that does not tell its timeline, a return to a server that was left before.
Stop the command pods first: what they append before this command counts as not lost. All processes then drop what they remember
of the log, and views are searched for lost events.

Example: caudal log begin-epoch orders`,
    )
    .action((context: string, { after }: { after?: number }) =>
      withApp(
        async ({ locals }) => {
          const local = pick('context', context, new Map(locals.map((each) => [each.context.name, each])));
          const epoch = await onOwnersDatabase(local, (database) => beginEpoch(database, { anyway: true, after }));
          say(`The log of ${context} is in epoch ${epoch} now.`);
        },
        { name: 'log begin-epoch', resource: context },
      ),
    );
}

async function show(
  system: App,
  stream: string,
  { from, limit = Number.POSITIVE_INFINITY, personal = false, json = false }: Options,
): Promise<void> {
  const { entity, local } = await findStream(system, stream);
  let left = limit;
  for await (const page of local.log.readStream(stream, from - 1)) {
    const events = page.slice(0, left);
    for (const event of personal ? await local.openEvents(events) : events) {
      const shown = readable(entity, event, personal);
      if (json) sayJson(shown);
      else tell(shown);
    }
    left -= page.length;
    if (left <= 0 || system.lifecycle.ending.aborted) return;
  }
}

type Readable = ReturnType<typeof readable>;

function readable(entity: Entity, event: RecordedEvent, personal: boolean) {
  const { stream, version, position, type, schemaVersion, eventId, recordedAt } = event;
  const { actor, causationId, correlationId, traceparent } = metadataOf(event);
  return {
    ...{ stream, version, position, type, schemaVersion, eventId },
    ...{ occurredAt: occurredAt(event), recordedAt },
    ...{ actor, causationId, correlationId, traceparent },
    ...content(entity, event, personal),
  };
}

/** The event's fields; if this version of Caudal can't decode it, the error and its bytes. */
function content(entity: Entity, event: RecordedEvent, personal: boolean) {
  try {
    return { fields: eventJson(entity, personal ? event : withoutPersonal(entity, event)) };
  } catch (error) {
    // The bytes may contain personal data.
    const data = personal ? Buffer.from(event.data).toString('base64') : undefined;
    return { undecodable: (error as Error).message, data };
  }
}

function tell(event: Readable): void {
  const { version, type, occurredAt, position, actor, correlationId, causationId, eventId } = event;
  say(`${String(version).padStart(5)} ${type}  ${occurredAt.toISOString()}  position ${position}`);
  say(indented(`by ${actor}; correlation ${correlationId}; because of ${causationId || '-'}; id ${eventId}`));
  if ('fields' in event) say(indented(JSON.stringify(event.fields, null, 2)));
  else say(indented(`can't be decoded: ${event.undecodable}${event.data ? `\n${event.data}` : ''}`));
}
