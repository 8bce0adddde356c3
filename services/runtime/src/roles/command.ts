/** The command role: serves the commands of its contexts, and their logs to those who follow them. */
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { logHandlers } from '@caudal/eventlog/log-service.ts';
import { service } from '@caudal/rpc/types.ts';
import type { Process } from '../process.ts';

export function addCommands(process: Process): void {
  for (const local of process.locals) process.services.push(...local.context.commands(process.toolsOf(local)));
  process.services.push(service(LogServiceService, logHandlers(process.locals.map(({ tail }) => tail))));
}
