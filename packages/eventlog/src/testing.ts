/** For tests: a log of the test's own on the real PostgreSQL, and things to append to it. */
import { randomUUID } from 'node:crypto';
import { contentHash, newId } from '@caudal/kernel/ids.ts';
import { type Database, type DatabaseOptions, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { type OpenEventLogOptions, openEventLog } from './event-log.ts';
import { migrations } from './migrations.ts';
import type { Append, NewEvent, RecordedEvent } from './types.ts';

type Options = Partial<DatabaseOptions> & Pick<Partial<OpenEventLogOptions>, 'retryForMs' | 'maxQueued'>;

/** An empty log in a database of its own, which `drop` deletes. */
export async function freshLog(domain = 'orders', options: Options = {}) {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: domain, sets: [migrations] });
  const logs: { log: ReturnType<typeof openEventLog>; database: Database }[] = [];
  /** Another process's view of the same log, as far as the log can tell. */
  const open = (more: Options = {}) => {
    const settings = { ...options, ...more };
    const database = openDatabase({ ...settings, url: fresh.url, schema: domain });
    const log = openEventLog({ ...settings, database, domain });
    logs.push({ log, database });
    return { log, database };
  };
  return {
    url: fresh.url,
    ...open(),
    open,
    async drop() {
      await Promise.all(logs.map(({ log }) => log.stop()));
      await Promise.all(logs.map(({ database }) => database.close()));
      await fresh.drop();
    },
  };
}

/** An event with this content. */
export function someEvent(content = 'x'): NewEvent {
  return {
    eventId: newId(),
    type: 'orders.order.changed.v1',
    schemaVersion: 1,
    data: Buffer.from(content),
    metadata: Buffer.from('metadata'),
  };
}

export function someCommand(request = 'request', reply = 'reply', key: string = randomUUID()) {
  return { key, hash: contentHash(Buffer.from(request)), reply: Buffer.from(reply) };
}

/** An append of one event a content. */
export function someAppend(
  stream: string,
  expected: Append['expected'],
  contents: string[] = ['x'],
  command?: Append['command'],
): Append {
  return { stream, expected, events: contents.map(someEvent), ...(command && { command }) };
}

/** What tests compare: content by stream and version. */
export function summary(events: RecordedEvent[]): [stream: string, version: number, content: string][] {
  return events.map(({ stream, version, data }) => [stream, version, Buffer.from(data).toString()]);
}
