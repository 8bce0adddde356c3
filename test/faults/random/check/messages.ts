/**
 * Every message is accounted for: relays are at the heads of their logs, and every handler has handled every stream.
 */
import { slotsCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { Client } from 'pg';
import type { System } from '../../../e2e/system.ts';

/**
 * What is still in flight, one line each. Reconciliation moves a handler's checkpoint past a stream's head only after
 * the handler has handled or parked it. A parked stream counts as a dead letter. So the checkpoint says what is
 * accounted for.
 */
export async function messagesUnderWay({ stores }: System): Promise<string[]> {
  const found = await stores!.deadLetters();
  const client = new Client({ connectionString: stores!.databaseUrl });
  await client.connect();
  try {
    const heads = new Map<string, number>();
    for (const { name } of contexts) {
      const { rows } = await client.query(`SELECT coalesce(max(position), 0) AS position FROM ${name}.events`);
      heads.set(name, Number(rows[0].position));
    }
    for (const { name } of contexts) {
      const { rows } = await client.query<{ name: string; position: string }>(
        `SELECT name, position FROM ${name}.checkpoints`,
      );
      for (const checkpoint of rows) {
        // Where slots are noted, and where sagas begin, is no progress.
        if (checkpoint.name === slotsCheckpoint || checkpoint.name.startsWith('start:')) continue;
        const [kind, handler, domain] = checkpoint.name.split(':');
        const head = kind === 'relay' ? heads.get(name)! : kind === 'sweep' ? heads.get(domain!)! : 0;
        const who = kind === 'relay' ? `the relay of ${name}` : `the reconciliation of ${handler} over ${domain}`;
        if (Number(checkpoint.position) < head) found.push(`${who} is at ${checkpoint.position} of ${head}`);
      }
    }
  } finally {
    await client.end();
  }
  return [...found, ...(await queuedMessages(stores!.namespace))];
}

/** Queues with messages that are ready or in flight. RabbitMQ counts every five seconds. */
async function queuedMessages(namespace: string): Promise<string[]> {
  const management = new URL(process.env.RABBITMQ_MANAGEMENT_URL!);
  const authorization = `Basic ${btoa(`${management.username}:${management.password}`)}`;
  const response = await fetch(`${management.origin}/api/queues?columns=name,messages`, {
    headers: { authorization },
    signal: AbortSignal.timeout(10_000),
  });
  const queues = (await response.json()) as { name: string; messages?: number }[];
  return queues
    .filter(({ name, messages }) => name.startsWith(`${namespace}.`) && messages !== 0)
    .map(({ name, messages }) => `${messages} messages are in ${name}`);
}
