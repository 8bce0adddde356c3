/**
 * A process that writes to a log, for concurrency.test.ts: several writers that create streams, append to shared
 * streams, and repeat commands. It sends its parent what landed: `stream@version` by content.
 */
import { openDatabase } from '@caudal/postgres/database.ts';
import { openEventLog } from '../event-log.ts';
import type { EventLog } from '../types.ts';
import { someAppend, someCommand } from './events.ts';

const [url, name, writers, rounds] = process.argv.slice(2) as [string, string, string, string];
const sharedStreams = 6;
const landed: Record<string, string> = {};
const problems: string[] = [];

/** Appends with the version that the writer knows, until the append lands, as an aggregate does. */
async function appendExactly(log: EventLog, stream: string, content: string): Promise<number> {
  const command = someCommand(content);
  for (let expected = 0; ; ) {
    const append = someAppend(stream, expected, [content, `${content}+`], command);
    const result = await log.append(append);
    if (result.kind === 'conflict') {
      const known = expected;
      expected = result.version;
      if (result.missing.length !== Math.min(1_000, expected - known)) problems.push(`${content}: missing events`);
      continue;
    }
    if (result.kind !== 'appended') {
      problems.push(`${content}: ${result.kind}`);
      return 0;
    }
    const repeat = await log.append(append);
    if (repeat.kind !== 'duplicate' || repeat.version !== result.version) problems.push(`${content}: ${repeat.kind}`);
    return result.version;
  }
}

async function write(log: EventLog, writer: number): Promise<void> {
  for (let round = 0; round < Number(rounds); round++) {
    const content = `${name}.${writer}.${round}`;
    const shared = `orders.order/shared-${(writer + round) % sharedStreams}`;
    if (round % 3 === 0) {
      const result = await log.append(someAppend(shared, 'any', [content]));
      if (result.kind === 'appended') landed[content] = `${shared}@${result.version}`;
      else problems.push(`${content}: ${result.kind}`);
      continue;
    }
    const stream = round % 3 === 1 ? shared : `orders.order/${content}`;
    const version = await appendExactly(log, stream, content);
    landed[content] = `${stream}@${version - 1}`;
    landed[`${content}+`] = `${stream}@${version}`;
  }
}

const database = openDatabase({ url, schema: 'orders', poolSize: 3, applicationName: `writer-${name}` });
const log = openEventLog({ database, domain: 'orders' });
await Promise.all(Array.from({ length: Number(writers) }, (_, writer) => write(log, writer)));
await log.stop();
await database.close();
process.send!({ landed, problems });
process.disconnect();
