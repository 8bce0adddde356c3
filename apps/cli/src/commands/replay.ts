/** `caudal replay`: folds streams from their first event, to show one or to check whole logs. */
import { checkLog, checkStream, type Finding, replayStream } from '@caudal/aggregates/replay.ts';
import { withoutPersonal } from '@caudal/contract/event-json.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { createProgress } from '@caudal/importer/progress.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import type { App } from '@caudal/server/app.ts';
import type { LocalContext } from '@caudal/server/local-context.ts';
import { Command } from 'commander';
import { plain, say, sayJson } from '../output.ts';
import { findStream } from '../streams.ts';
import { pick, UsageError } from '../usage.ts';
import { withApp } from '../with-app.ts';

interface Options {
  context?: string;
  personal?: boolean;
  json?: boolean;
}

export function replayCommand(): Command {
  return new Command('replay')
    .description('fold a stream from its events and show its state; or check that all logs can be folded')
    .argument('<stream>', '<context>.<entity>/<id>, or "all"')
    .option('--context <name>', 'with "all": only the log of this context')
    .option('--personal', 'show personal data, which is replaced by *** otherwise')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Checks that positions and versions have no gap, that every event can be decoded, and that snapshots agree with a fold of the
events. Exit code 1 if any check fails.

Examples: caudal replay payments.wallet/wallet-17
          caudal replay all --context inventory`,
    )
    .action((stream: string, options: Options) =>
      withApp(
        async (system) => {
          if (stream !== 'all' && options.context) throw new UsageError('--context can only be used with "all".');
          const right = await (stream === 'all' ? replayAll(system, options) : replayOne(system, stream, options));
          process.exitCode = right ? 0 : 1;
        },
        options.personal ? { name: 'replay --personal', resource: stream } : undefined,
      ),
    );
}

async function replayOne(system: App, stream: string, { personal, json }: Options): Promise<boolean> {
  const { entity, local } = await findStream(system, stream);
  const { database, log } = local;
  const { deciders } = local.context;
  const findings = (await checkStream({ database, log, deciders, signal: system.lifecycle.ending }, stream)) ?? [];
  const decider = deciders.find((candidate) => candidate.entity.name === entity.name);
  const foldable = decider && !findings.some(({ kind }) => kind === 'stream');
  const see = personal
    ? local.openEvents
    : async (events: RecordedEvent[]) => events.map((event) => withoutPersonal(entity, event));
  const decided = foldable ? await replayStream({ log, decider, stream, see }) : undefined;
  if (json) {
    sayJson({ stream, version: decided?.version, state: decided?.state, findings });
  } else {
    if (decided) say(`${stream} at version ${decided.version}\n${JSON.stringify(plain(decided.state), null, 2)}`);
    tell(findings);
  }
  return findings.length === 0;
}

async function replayAll(system: App, { context, json }: Options): Promise<boolean> {
  const byName = new Map(system.locals.map((local) => [local.context.name, local]));
  const chosen = context === undefined ? system.locals : [pick('context', context, byName)];
  const results = [];
  for (const local of chosen) results.push(await replayContext(system, local, json ?? false));
  const wrong = results.reduce((sum, result) => sum + result.wrong, 0);
  if (json) sayJson({ wrong, contexts: results });
  else say(wrong === 0 ? 'No problems found.' : `${wrong} findings.`);
  return wrong === 0;
}

async function replayContext({ lifecycle }: App, { context, database, log }: LocalContext, json: boolean) {
  const display = createProgress({ stream: process.stderr, clock: systemClock });
  const { name, deciders } = context;
  const signal = lifecycle.ending;
  const onProgress = (progress: { done: number; total: number }) => display.update({ step: name, ...progress });
  try {
    const report = await checkLog({ database, log, deciders, onProgress, signal });
    display.stop();
    if (!json) {
      const { streams, events, snapshots, wrong, findings } = report;
      say(
        `${name.padEnd(14)} ${events} events of ${streams} streams folded, ${snapshots} snapshots compared: ${wrong === 0 ? 'right' : `${wrong} findings`}`,
      );
      tell(findings);
      if (wrong > findings.length) say(`  ... and ${wrong - findings.length} more`);
    }
    return { context: name, ...report };
  } finally {
    display.stop();
  }
}

function tell(findings: Finding[]): void {
  for (const { kind, where, detail } of findings) say(`  ${kind} ${where}: ${detail}`);
}
