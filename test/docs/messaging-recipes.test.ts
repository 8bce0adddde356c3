/** The recipes of docs/messaging-recipes.md work on a real broker, also when a program dies. */
import { randomUUID } from 'node:crypto';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type ChannelModel, connect } from 'amqplib';
import { followEvents } from '../../examples/messaging/follow-events.ts';
import { openRequester, serveRequests } from '../../examples/messaging/request-reply.ts';
import { addJob, declareWork, startWorker } from '../../examples/messaging/work-queue.ts';

jest.setTimeout(120_000);

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup().catch(() => {});
});

/** A connection of a program of its own. `kill` ends it without a word, as a process that dies. */
async function program(url = serverUrl('rabbitmq')) {
  const connection = await connect(url);
  connection.on('error', () => {});
  let isOpen = true;
  connection.once('close', () => {
    isOpen = false;
  });
  cleanups.push(async () => isOpen && connection.close());
  const { stream } = connection.connection as unknown as { stream: { destroy(error: Error): void } };
  return { connection, kill: () => stream.destroy(new Error('killed')) };
}

/** Names that no other test uses; what has them is deleted. */
function named(what: string): string {
  const name = `test-${randomUUID()}.${what}`;
  cleanups.push(async () => {
    const { connection } = await program();
    const channel = await connection.createChannel();
    await channel.deleteQueue(name);
    await channel.deleteQueue(`${name}.dead`);
    await channel.deleteExchange(`${name}.dead`);
  });
  return name;
}

async function exchangeOf(connection: ChannelModel): Promise<string> {
  const exchange = `test-${randomUUID()}.events.orders.v1`;
  const channel = await connection.createChannel();
  await channel.assertExchange(exchange, 'topic', { durable: true });
  cleanups.push(async () => (await (await program()).connection.createChannel()).deleteExchange(exchange));
  return exchange;
}

async function publish(connection: ChannelModel, exchange: string, type: string, version: number): Promise<void> {
  const channel = await connection.createConfirmChannel();
  const headers = {
    cloudEvents_type: type,
    cloudEvents_subject: 'orders.order/o1',
    cloudEvents_streamversion: version,
  };
  channel.publish(exchange, type, Buffer.from('body'), { persistent: true, headers });
  await channel.waitForConfirms();
  await channel.close();
}

describeWith(['rabbitmq'], 'messaging recipes', () => {
  describe('publish-subscribe', () => {
    test('each subscriber gets every event that it has bound, also those from while it was away', async () => {
      const relay = await program();
      const exchange = await exchangeOf(relay.connection);
      const seen: Record<string, string[]> = { mailer: [], reports: [] };
      const queues = { mailer: named('mailer'), reports: named('reports') };
      const follow = async (name: 'mailer' | 'reports', keys: string[]) => {
        const { connection, kill } = await program();
        await followEvents({
          ...{ connection, exchange, keys, queue: queues[name] },
          handle: async ({ type, stream, version }) => void seen[name]!.push(`${type} ${stream} ${version}`),
        });
        return kill;
      };
      const killMailer = await follow('mailer', ['orders.order.placed.v1']);
      await follow('reports', ['orders.order.#']);
      await publish(relay.connection, exchange, 'orders.order.placed.v1', 1);
      await publish(relay.connection, exchange, 'orders.order.confirmed.v1', 2);
      await until(() => seen.mailer!.length === 1 && seen.reports!.length === 2);
      killMailer();
      await publish(relay.connection, exchange, 'orders.order.placed.v1', 3);
      await until(() => seen.reports!.length === 3);
      await follow('mailer', ['orders.order.placed.v1']);
      await until(() => seen.mailer!.includes('orders.order.placed.v1 orders.order/o1 3'));
      expect(seen.mailer).not.toContain('orders.order.confirmed.v1 orders.order/o1 2');
    });

    test('an event that is never handled is set aside, and others go on', async () => {
      const { connection } = await program();
      const exchange = await exchangeOf(connection);
      const queue = named('failing');
      const handled: number[] = [];
      let failures = 0;
      await followEvents({
        ...{ connection, exchange, queue, keys: ['orders.order.#'] },
        async handle({ version }) {
          if (version === 1) {
            failures += 1;
            throw new Error('always');
          }
          handled.push(version);
        },
      });
      for (const version of [1, 2]) await publish(connection, exchange, 'orders.order.placed.v1', version);
      const channel = await connection.createChannel();
      await until(async () => (await channel.checkQueue(`${queue}.dead`)).messageCount === 1);
      expect(handled).toEqual([2]);
      expect(failures).toBe(6);
    });

    test('an account with the permissions of the page follows events, and can do no more', async () => {
      const management = new URL(process.env.RABBITMQ_MANAGEMENT_URL!);
      const authorization = `Basic ${Buffer.from(`${management.username}:${management.password}`).toString('base64')}`;
      const call = (method: string, path: string, body?: object) =>
        fetch(new URL(`/api/${path}`, management.origin), {
          method,
          headers: { authorization, 'content-type': 'application/json' },
          body: body && JSON.stringify(body),
        });
      const relay = await program();
      const exchange = await exchangeOf(relay.connection);
      const queue = named('mine');
      const account = queue.split('.')[0]!;
      const password = randomUUID();
      expect((await call('PUT', `users/${account}`, { password, tags: '' })).status).toBe(201);
      cleanups.push(() => call('DELETE', `users/${account}`));
      const own = `^${account}\\.`;
      const permissions = { configure: own, write: own, read: `${own}|^${exchange.replaceAll('.', '\\.')}$` };
      expect((await call('PUT', `permissions/%2F/${account}`, permissions)).status).toBe(201);

      const url = new URL(serverUrl('rabbitmq'));
      url.username = account;
      url.password = password;
      const seen: number[] = [];
      const { connection } = await program(url.href);
      await followEvents({
        ...{ connection, exchange, queue, keys: ['orders.order.#'] },
        handle: async ({ version }) => void seen.push(version),
      });
      await publish(relay.connection, exchange, 'orders.order.placed.v1', 1);
      await until(() => seen.length === 1);

      const other = named('of-others');
      await (await relay.connection.createChannel()).assertQueue(other, { durable: true });
      const refused = async (act: (channel: Awaited<ReturnType<ChannelModel['createChannel']>>) => unknown) => {
        const { connection: fresh } = await program(url.href);
        const channel = await fresh.createChannel();
        const ended = new Promise<string>((resolve) => channel.once('error', (error) => resolve(error.message)));
        await Promise.resolve(act(channel)).catch(() => {});
        return ended;
      };
      expect(await refused((channel) => channel.publish(exchange, 'orders.order.placed.v1', Buffer.from('')))).toMatch(
        /ACCESS_REFUSED/,
      );
      expect(await refused((channel) => channel.consume(other, () => {}))).toMatch(/ACCESS_REFUSED/);
      expect(await refused((channel) => channel.assertQueue('other.queue'))).toMatch(/ACCESS_REFUSED/);
    });
  });

  describe('a work queue', () => {
    test('each job is done by one worker; that of a worker that dies is done by another', async () => {
      const sender = await program();
      const queue = named('jobs');
      const channel = await declareWork(sender.connection, queue);
      const done: string[] = [];
      const taken = Promise.withResolvers<string>();
      const dying = await program();
      await startWorker(dying.connection, queue, ({ id }) => {
        taken.resolve(id);
        return new Promise(() => {});
      });
      for (const id of ['1', '2', '3', '4']) await addJob(channel, queue, { id, body: { number: id } });
      const lost = await taken.promise;
      for (const worker of ['a', 'b'])
        await startWorker((await program()).connection, queue, async ({ id }) => void done.push(`${id}${worker}`));
      await until(() => done.length === 3);
      expect(done.some((job) => job.startsWith(lost))).toBe(false);
      dying.kill();
      await until(() => done.length === 4);
      expect(done.map((job) => job[0]).sort()).toEqual(['1', '2', '3', '4']);
    });

    test('a job that fails each time ends in the dead letters', async () => {
      const { connection } = await program();
      const queue = named('jobs');
      const channel = await declareWork(connection, queue);
      await addJob(channel, queue, { id: '1', body: {} });
      await startWorker(connection, queue, async () => {
        throw new Error('always');
      });
      await until(async () => (await channel.checkQueue(`${queue}.dead`)).messageCount === 1);
    });
  });

  describe('request and reply', () => {
    test('each request gets its own reply', async () => {
      const [server, client] = [await program(), await program()];
      const queue = named('square');
      await serveRequests(server.connection, queue, async (body) => ({ square: Number(body) ** 2 }));
      const { request } = await openRequester(client.connection);
      const replies = await Promise.all(Array.from({ length: 50 }, (_, number) => request(queue, number, 10_000)));
      expect(replies).toEqual(Array.from({ length: 50 }, (_, number) => ({ square: number ** 2 })));
    });

    test('nobody serves: the request fails at once; a server that is slow: after its time', async () => {
      const [server, client] = [await program(), await program()];
      const { request } = await openRequester(client.connection);
      await expect(request('no-such-queue', 1, 20_000)).rejects.toThrow('nobody serves this queue');
      const queue = named('slow');
      await serveRequests(server.connection, queue, () => new Promise(() => {}));
      await expect(request(queue, 1, 100)).rejects.toThrow('no reply within 100 ms');
    });

    test('a requester that is dead: its request is not served, and the server goes on', async () => {
      const [server, dying, client] = [await program(), await program(), await program()];
      const queue = named('served');
      const served: unknown[] = [];
      const gate = Promise.withResolvers<void>();
      await serveRequests(server.connection, queue, async (body) => {
        served.push(body);
        if (body === 'first') await gate.promise;
        return body;
      });
      const dead = (await openRequester(dying.connection)).request(queue, 'first', 60_000);
      dead.catch(() => {});
      await until(() => served.length === 1);
      dying.kill();
      await expect(dead).rejects.toThrow('the connection has ended');
      // The reply to it is dropped.
      gate.resolve();
      const { request } = await openRequester(client.connection);
      expect(await request(queue, 'second', 10_000)).toBe('second');
      expect(served).toEqual(['first', 'second']);
    });
  });
});
