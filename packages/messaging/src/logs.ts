/** The logs that a handler follows. */
import { domainOf } from '@caudal/contract/entity.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';

/** By domain. */
export type Logs = ReadonlyMap<string, LogReader>;

/**
 * The log of a stream, or of an entity's streams. Throws if it is not given, which is a mistake in the configuration.
 */
export function logOf(logs: Logs, name: string): LogReader {
  const log = logs.get(domainOf(name));
  if (!log) throw new Error(`No log of ${domainOf(name)} is given, but the handler follows ${name}: add it to "logs".`);
  return log;
}

/** The logs of all entities of a handler, each once. Throws if one is not given. */
export function logsOf(logs: Logs, handler: { entities: string[] }): LogReader[] {
  return [...new Set(handler.entities.map((entity) => logOf(logs, entity)))];
}
