/** No message is left unaccounted for: relays are at the heads of their logs, and every handler has seen every stream. */
import { contexts } from '@caudal/server/contexts.ts';
import { Client } from 'pg';
import type { System } from '../../../e2e/system.ts';

/**
 * What is still under way, a line each. A handler's reconciliation moves its checkpoint over a stream's head only when the handler
 * has seen it or put it aside (which counts as a dead letter), so its checkpoint says what it has accounted for.
 */
export async function messagesUnderWay({ stores }: System): Promise<string[]> {
  const found = await stores!.deadLetters();
  const client = new Client({ connectionString: stores!.databaseUrl });
  await client.connect();
  try {
    const heads = new Map<string, number>();
    for (const { name } of contexts) {
      const { rows } = await client.query(`SELECT position FROM ${name}.head`);
      heads.set(name, Number(rows[0].position));
    }
    for (const { name } of contexts) {
      const { rows } = await client.query<{ name: string; position: string }>(
        `SELECT name, position FROM ${name}.checkpoints`,
      );
      for (const checkpoint of rows) {
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

/** Queues in which something lies, or is held by a consumer. RabbitMQ counts every five seconds. */
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
