/** `caudal build`: builds missing views, like a projector at its start. */

import { ensureBuilt } from '@caudal/projections/generations/rebuild.ts';
import { nameOf } from '@caudal/projections/stores/keys.ts';
import { rebuildOptions } from '@caudal/server/handlers/handlers.ts';
import { Command } from 'commander';
import { say, sayJson } from '../output.ts';
import { findView, viewsByName } from '../views.ts';
import { withApp } from '../with-app.ts';

export function buildCommand(): Command {
  return new Command('build')
    .description('build missing views, with their queues')
    .argument('<view...>', '"order-details", several of them, or "all"')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
A projector does that when it starts. This is for one that does not run: what happens from then on waits in the view's
queue, by which it can be woken. Views that are there stay as they are; who is building one already is waited for.

Example: caudal build stock-dashboard`,
    )
    .action((names: string[], { json = false }: { json?: boolean }) =>
      withApp(
        async (system) => {
          const all = names.includes('all');
          const chosen = all ? [...viewsByName(system).values()] : names.map((name) => findView(system, name));
          const views = [];
          for (const of of chosen) {
            const built = await ensureBuilt(rebuildOptions(system, of));
            views.push({ view: of.definition.projection.name, built });
            if (!json) say(`${nameOf(of.definition.projection)}: ${built ? 'built' : 'exists already'}`);
          }
          if (json) sayJson({ views });
        },
        { name: 'build', resource: names.join(' ') },
      ),
    );
}
