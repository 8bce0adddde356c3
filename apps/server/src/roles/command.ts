/** The command role: serves the commands of its contexts, and their logs to the handlers of other contexts. */
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { logHandlers } from '@caudal/eventlog/log-service.ts';
import { service } from '@caudal/rpc/types.ts';
import type { App } from '../app.ts';

export function addCommands(app: App): void {
  for (const local of app.locals) {
    const { broker } = app.stores;
    app.services.push(...local.context.commands({ ...app.toolsOf(local), database: local.database, broker }));
  }
  const logs = app.locals.map(({ tail }) => tail);
  const registries = new Map(app.locals.map(({ context, registry }) => [context.name, registry]));
  const follow: Parameters<typeof logHandlers>[1] = (domain, follower) => registries.get(domain)!.follow(follower);
  app.services.push(service(LogServiceService, logHandlers(logs, follow, app.lifecycle.ending)));
}
