/**
 * A RabbitMQ cluster of three nodes on this machine, with an epmd, ports and a folder of its own, behind a balancer: each
 * new connection goes to the next node that runs. Its nodes can be killed, and single queues lose their majority.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePorts } from '../e2e/part.ts';
import { until } from '../e2e/wait.ts';

export interface RabbitCluster {
  /** Of the balancer. */
  url: string;
  /** The names of the nodes. */
  nodes: string[];
  /** Kills a node with -9. Its data stays. */
  kill(node: string): Promise<void>;
  /** Starts a node that was killed, and waits until it runs in the cluster. */
  start(node: string): Promise<void>;
  /** The nodes that hold a quorum queue, its leader's first. */
  members(queue: string): Promise<string[]>;
  /** Stops the members of a queue on these nodes, or starts them. The nodes run on, and so do their other queues. */
  setMembers(queue: string, nodes: string[], state: 'stopped' | 'running'): Promise<void>;
  /** Ends all of it, and deletes its folder. */
  stop(): Promise<void>;
}

/** The scripts themselves: those in PATH would switch to Debian's user rabbitmq. */
const scripts = '/usr/lib/rabbitmq/bin';
const startMs = 90_000;
const controlMs = 60_000;

/** Whether RabbitMQ is installed where Debian's package has it. */
export const hasRabbitMq = () => existsSync(join(scripts, 'rabbitmq-server'));

interface Node {
  name: string;
  port: number;
  env: NodeJS.ProcessEnv;
  log: string;
  process?: ChildProcess;
}

/** Starts the three nodes, and waits until they have found each other. */
export async function startRabbitCluster(): Promise<RabbitCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-cluster-'));
  const [epmdPort, ...ports] = (await freePorts(7)) as [number, ...number[]];
  // The servers of this machine end with this process, however it ends. The folder is also HOME, for the cookie.
  const launch = (command: string[], env: NodeJS.ProcessEnv, log: string): ChildProcess => {
    const output = openSync(log, 'a');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { env, stdio: ['ignore', output, output] });
    closeSync(output);
    return child;
  };
  const shared = {
    PATH: process.env.PATH,
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
  };
  const epmd = launch(['epmd', '-port', String(epmdPort), '-address', '127.0.0.1'], shared, join(folder, 'epmd.log'));
  const nodes = [1, 2, 3].map((n) => describeNode(folder, shared, n, [ports[n - 1]!, ports[n + 2]!]));
  const nodeOf = (name: string) => nodes.find((node) => node.name === name)!;
  const balancer = await startBalancer(nodes.map(({ port }) => port));

  /** The answer of an Erlang expression, as a line of words. */
  async function evaluate(node: Node, expression: string): Promise<string> {
    const { stdout } = await promisify(execFile)(
      join(scripts, 'rabbitmqctl'),
      ['-q', '-n', node.name, 'eval', expression],
      { env: shared, timeout: controlMs },
    );
    return stdout.trim();
  }

  const isRunning = ({ process: child }: Node) => child?.exitCode === null && child.signalCode === null;
  const running = () => nodes.find(isRunning) ?? nodes[0]!;

  function launchNode(node: Node): void {
    node.process = launch([join(scripts, 'rabbitmq-server')], node.env, node.log);
  }

  /** Waits until the node runs, and is one of the cluster as it sees it. */
  async function joined(node: Node, size: number): Promise<void> {
    const count = () =>
      evaluate(
        node,
        'case rabbit:is_running() of true -> length(rabbit_mnesia:cluster_nodes(running)); false -> 0 end.',
      ).catch(() => '0');
    await until(`${node.name} runs in a cluster of ${size}`, count, (seen) => Number(seen) >= size, startMs, 500);
  }

  async function end(child: ChildProcess | undefined): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async function stop(): Promise<void> {
    await balancer.close();
    for (const node of nodes) await end(node.process);
    await end(epmd);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }

  const lookUp = (queue: string) =>
    `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${queue}">>)), {Name, _} = amqqueue:get_pid(Q)`;

  try {
    for (const node of nodes) launchNode(node);
    for (const node of nodes) await joined(node, nodes.length);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `amqp://guest:guest@127.0.0.1:${balancer.port}`,
    nodes: nodes.map(({ name }) => name),
    kill: (name) => end(nodeOf(name).process),
    async start(name) {
      launchNode(nodeOf(name));
      await joined(nodeOf(name), nodes.filter(isRunning).length);
    },
    async members(queue) {
      const answer = await evaluate(
        running(),
        `${lookUp(queue)}, {ok, All, {_, Leader}} = ra:members({Name, node()}),
         io_lib:format("~s", [lists:join(" ", [atom_to_list(N) || N <- [Leader | [N || {_, N} <- All, N =/= Leader]]])]).`,
      );
      return answer.match(/caudal\d@localhost/g) ?? [];
    },
    async setMembers(queue, names, state) {
      const act = state === 'stopped' ? 'stop_server' : 'restart_server';
      const list = names.map((name) => `'${name}'`).join(', ');
      await evaluate(running(), `${lookUp(queue)}, [ok = ra:${act}(quorum_queues, {Name, N}) || N <- [${list}]].`);
    },
    stop,
  };
}

/** Writes a node's settings. */
function describeNode(folder: string, shared: NodeJS.ProcessEnv, n: number, [port, distPort]: [number, number]): Node {
  const name = `caudal${n}@localhost`;
  const home = join(folder, String(n));
  mkdirSync(home);
  const file = (of: string, lines: string[]) => {
    writeFileSync(join(home, of), lines.map((line) => `${line}\n`).join(''));
    return join(home, of);
  };
  writeFileSync(join(folder, '.erlang.cookie'), 'caudal', { mode: 0o600 });
  return {
    name,
    port,
    log: join(folder, `${n}.log`),
    env: {
      ...shared,
      RABBITMQ_NODENAME: name,
      RABBITMQ_CONFIG_FILE: file('rabbitmq.conf', [
        `listeners.tcp.1 = 127.0.0.1:${port}`,
        'log.console = true',
        'log.file = false',
        'cluster_formation.peer_discovery_backend = classic_config',
        ...[1, 2, 3].map((other) => `cluster_formation.classic_config.nodes.${other} = caudal${other}@localhost`),
      ]),
      RABBITMQ_CONF_ENV_FILE: file('no-env.conf', []),
      RABBITMQ_ENABLED_PLUGINS_FILE: file('enabled_plugins', ['[].']),
      RABBITMQ_GENERATED_CONFIG_DIR: join(home, 'config'),
      RABBITMQ_MNESIA_BASE: join(home, 'mnesia'),
      RABBITMQ_LOG_BASE: join(home, 'log'),
      RABBITMQ_DIST_PORT: String(distPort),
      // As test/servers starts it: on the loopback, and without spinning schedulers.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none',
      // The script becomes the broker, which so has the process id that was started here.
      RUNNING_UNDER_SYSTEMD: 'yes',
    },
  };
}

/** Passes each connection on to the next port that accepts it. */
async function startBalancer(ports: number[]): Promise<{ port: number; close(): Promise<void> }> {
  const open = new Set<Socket>();
  let turn = 0;
  const passOn = (client: Socket, [port, ...others]: number[]) => {
    if (port === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true });
    upstream.once('error', () => passOn(client, others));
    upstream.once('connect', () => {
      upstream.removeAllListeners('error');
      const end = () => {
        open.delete(client);
        client.destroy();
        upstream.destroy();
      };
      for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
      client.pipe(upstream).pipe(client);
    });
  };
  const server = createServer({ noDelay: true }, (client) => {
    open.add(client);
    // Until it is passed on; the listeners above follow.
    client.on('error', () => open.delete(client));
    const first = turn++ % ports.length;
    passOn(client, [...ports.slice(first), ...ports.slice(0, first)]);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const client of open) client.destroy();
      await closed;
    },
  };
}
