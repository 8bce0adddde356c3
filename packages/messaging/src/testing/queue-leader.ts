/** Breaks a quorum queue of the tests' RabbitMQ as a node or a disk would, through the broker's own control tool. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** The script itself: the one in PATH would switch to Debian's user rabbitmq. */
const rabbitmqctl = '/usr/lib/rabbitmq/bin/rabbitmqctl';

/** Whether the control tool of the tests' RabbitMQ is known. */
export const canBreakQueues = process.env.RABBITMQ_HOME !== undefined;

async function evaluate(expression: string): Promise<string> {
  const { stdout } = await run(rabbitmqctl, ['-n', 'caudal@localhost', 'eval', expression], {
    env: { ...process.env, HOME: process.env.RABBITMQ_HOME, ERL_EPMD_PORT: process.env.RABBITMQ_EPMD_PORT },
    timeout: 30_000,
  });
  return stdout.trim();
}

/**
 * `hangs`: the leader is there and answers nothing; connections that publish to it stop. `gone`: there is none; messages
 * are refused. `back`: either is undone.
 */
export async function setLeader(queues: string[], state: 'hangs' | 'gone' | 'back'): Promise<void> {
  const names = queues.map((queue) => `<<"${queue}">>`).join(',');
  const act = {
    hangs: 'sys:suspend(Pid)',
    gone: 'ra:stop_server(quorum_queues, Pid)',
    back: 'begin catch sys:resume(Pid), catch ra:restart_server(quorum_queues, Pid) end',
  }[state];
  await evaluate(
    `lists:foreach(fun(N) ->
       {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, N)), Pid = amqqueue:get_pid(Q), ${act}
     end, [${names}]).`,
  );
}
