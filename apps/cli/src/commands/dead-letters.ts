/**
 * `caudal deadletters`: lists and redrives parked streams, at which a projection or saga has stopped after failures.
 */

import { domainsOf } from '@caudal/contract/entity.ts';
import { brokerDeadLetters } from '@caudal/messaging/dead-letters/dead-letters.ts';
import type { ParkedStream } from '@caudal/messaging/dead-letters/parked.ts';
import { listDeadLetters, redrive } from '@caudal/messaging/dead-letters/redrive.ts';
import type { App } from '@caudal/server/app.ts';
import { addCommands } from '@caudal/server/roles/command.ts';
import { addQueries } from '@caudal/server/roles/query.ts';
import { Command } from 'commander';
import { type FoundHandler, findHandler, handlerNames } from '../find-handler.ts';
import { say, sayJson } from '../output.ts';
import { UsageError, unknownName } from '../usage.ts';
import { withApp } from '../with-app.ts';

export function deadLettersCommand(): Command {
  return new Command('deadletters')
    .description('list and redrive parked streams, at which a projection or saga has stopped after failures')
    .addCommand(
      new Command('list')
        .description('list parked streams: the event that failed, its error, and how many events wait')
        .argument('[handler]', 'only of this generation of a projection, or of this saga: "order-details.v1.1"')
        .option('--json', 'one JSON object per line, for each stream')
        .addHelpText('after', '\nExample: caudal deadletters list fulfilment.process')
        .action((handler: string | undefined, { json = false }: { json?: boolean }) =>
          withApp((system) => list(system, handler, json)),
        ),
    )
    .addCommand(
      new Command('redrive')
        .description('try parked streams again, in the order of the log')
        .argument('<handler>', 'the generation of a projection, or the saga: "order-details.v1.1"')
        .argument('[stream]', 'only this stream')
        .option('--json', 'one JSON object per line, for each stream')
        .addHelpText(
          'after',
          `
A stream that fails again stays parked. So does a stream of a view that gathers from many: such a view takes events only in
the log's order, and is rebuilt instead ("caudal rebuild"). It is safe to run while the system runs, and to run twice. Exit code 1 if any
stream is still parked.

Example: caudal deadletters redrive order-details.v1.1 orders.order/1001`,
        )
        .action((handler: string, stream: string | undefined, { json = false }: { json?: boolean }) =>
          withApp(
            async (system) => {
              process.exitCode = (await redriveAll(system, { handler, stream, json })) ? 0 : 1;
            },
            { name: 'deadletters redrive', resource: stream ? `${handler} ${stream}` : handler },
          ),
        ),
    );
}

async function list(system: App, handler: string | undefined, json: boolean): Promise<void> {
  let found = 0;
  for (const { context, database } of system.locals) {
    for await (const parked of listDeadLetters(database, handler)) {
      found += 1;
      if (json) sayJson({ context: context.name, ...parked });
      else tell(parked);
    }
  }
  if (found > 0) return;
  if (handler !== undefined) await mustExist(system, handler);
  if (!json) say('There are no parked streams.');
}

function tell({ handler, stream, version, eventType, count, attempts, parkedAt, error }: ParkedStream): void {
  const waiting = count === 1 ? '1 event waits' : `${count} events wait`;
  say(`${handler}  ${stream}  version ${version}, ${eventType}`);
  say(`      ${waiting}; ${attempts} attempts; since ${parkedAt.toISOString()}; ${error}`);
}

async function redriveAll(
  system: App,
  { handler: name, stream, json }: { handler: string; stream: string | undefined; json: boolean },
): Promise<boolean> {
  // A saga calls commands of its own and of other contexts: those that this process can serve are called inside it.
  addCommands(system);
  addQueries(system);
  const { handler, local, view } = await mustExist(system, name);
  if (stream !== undefined) await mustBeParked({ handler, local }, stream);
  const { broker } = system.stores;
  const deadLetters = broker && brokerDeadLetters({ broker, handler: name });
  let right = true;
  let done = 0;
  try {
    const logs = system.logsFor(local.context, domainsOf(handler.entities));
    for await (const result of redrive({ handler, logs, database: local.database, deadLetters, stream })) {
      done += 1;
      right &&= result.outcome === 'redriven';
      if (json) sayJson({ handler: name, ...result });
      else say(`${result.stream}: ${result.outcome}${result.error ? ` (${result.error})` : ''}`);
      if (system.lifecycle.ending.aborted) break;
    }
  } finally {
    await deadLetters?.close();
  }
  if (done === 0 && !json) say('There are no parked streams to redrive.');
  if (done > 0 && handler.inOrder && !json) say(`Once the fault is mended: caudal rebuild ${view}`);
  return right;
}

async function mustExist(system: App, name: string): Promise<FoundHandler> {
  const found = await findHandler(system, name);
  if (!found) throw unknownName('projection or saga', name, await handlerNames(system));
  return found;
}

async function mustBeParked({ handler, local }: FoundHandler, stream: string): Promise<void> {
  const parked: string[] = [];
  for await (const one of listDeadLetters(local.database, handler.name)) {
    if (one.stream === stream) return;
    parked.push(one.stream);
  }
  if (parked.length === 0) throw new UsageError(`No stream of ${handler.name} is parked.`);
  throw unknownName(`parked stream of ${handler.name}`, stream, parked);
}
