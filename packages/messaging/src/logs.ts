/** The logs that a handler follows. */
import { domainOf } from '@caudal/contract/entity.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';

/** By domain. */
export type Logs = ReadonlyMap<string, LogReader>;

/** The log that holds a stream, or an entity's streams. Throws if it is not given: a mistake in the configuration. */
export function logOf(logs: Logs, name: string): LogReader {
  const log = logs.get(domainOf(name));
  if (!log) throw new Error(`No log of ${domainOf(name)} is given, and ${name} is followed.`);
  return log;
}

/** The logs of all of a handler's entities, each once. Throws if one is not given. */
export function logsOf(logs: Logs, handler: { entities: string[] }): LogReader[] {
  return [...new Set(handler.entities.map((entity) => logOf(logs, entity)))];
}
