/** `caudal verify`: compares views with a fold of the logs. */

import { createProgress } from '@caudal/importer/progress.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { isRight, type VerifyReport } from '@caudal/projections/verify/report.ts';
import { verify } from '@caudal/projections/verify/verify.ts';
import type { App } from '@caudal/server/app.ts';
import { type LocalProjection, logsOf, viewStoreOf } from '@caudal/server/handlers/handlers.ts';
import { Command } from 'commander';
import { say, sayJson } from '../output.ts';
import { findView, viewsByName } from '../views.ts';
import { withApp } from '../with-app.ts';

export function verifyCommand(): Command {
  return new Command('verify')
    .description('compare every view with a fold of the logs')
    .argument('<view>', '"order-details", or "all"')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
It is safe to run while the system runs. Exit code 1 if a view is missing, differs, is behind or should not exist, or if an
event can't be handled. "caudal rebuild" repairs views that differ; a running projector catches up with views that are behind.

Examples: caudal verify stock-dashboard
          caudal verify all --json`,
    )
    .action((view: string, { json = false }: { json?: boolean }) =>
      withApp(async (system) => {
        const chosen = view === 'all' ? [...viewsByName(system).values()] : [findView(system, view)];
        const results = [];
        for (const of of chosen) {
          const report = await run(system, of);
          const right = isRight(report) && report.failed.length === 0;
          results.push({ view: of.definition.projection.name, right, ...report });
          if (!json) tell(report, right);
        }
        const right = results.every((result) => result.right);
        if (json) sayJson({ right, views: results });
        process.exitCode = right ? 0 : 1;
      }),
    );
}

async function run(system: App, of: LocalProjection): Promise<VerifyReport> {
  const display = createProgress({ stream: process.stderr, clock: systemClock });
  const { projection } = of.definition;
  try {
    return await verify({
      projection,
      store: viewStoreOf(system, of),
      logs: logsOf(system, of),
      onProgress({ pass, passes, domain, position, head }) {
        const step = passes === 1 ? domain : `${domain} ${pass}/${passes}`;
        display.update({ step: `${projection.name}: ${step}`, done: position, total: head });
      },
    });
  } finally {
    display.stop();
  }
}

function tell(report: VerifyReport, right: boolean): void {
  const { generation, documents, counts, findings, failed, failedCount } = report;
  const wrong = Object.entries(counts).filter(([, count]) => count > 0);
  const summary = right ? 'right' : wrong.map(([kind, count]) => `${count} ${kind}`).join(', ') || 'not complete';
  say(`${generation}: ${documents} documents compared: ${summary}`);
  for (const { kind, id, detail } of findings) say(`  ${kind} ${id}: ${detail}`);
  const total = wrong.reduce((sum, [, count]) => sum + count, 0);
  if (total > findings.length) say(`  ... and ${total - findings.length} more`);
  for (const { stream, version, error } of failed) say(`  can't handle version ${version} of ${stream}: ${error}`);
  if (failedCount > failed.length) say(`  ... and ${failedCount - failed.length} more`);
  if (counts.behind > 0) say('  Views that are behind catch up while a projector runs.');
}
