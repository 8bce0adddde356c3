/** A call's command, and its answer: what the handlers of all contexts do with an aggregate. */
import type { Aggregates, Command } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Call } from '@caudal/rpc/types.ts';

/** What is left to say of a command that a call gives. */
export type CallsCommand<S, E extends EventCase, R> = Omit<Command<S, E, R>, 'commandId' | 'origin' | 'signal'>;

/**
 * Runs the command: under the call's request id, so that a repeat is answered as the first time; in the name of its
 * caller; and with what it wrote in the answer's consistency token. Errors: as of `execute`.
 */
export async function executeFor<S, E extends EventCase, R>(
  call: Call,
  aggregates: Aggregates,
  command: CallsCommand<S, E, R>,
): Promise<R> {
  const { commandId, origin, signal } = call;
  const { reply, stream, version } = await aggregates.execute({ ...command, commandId, origin, signal });
  call.wrote(stream, version);
  return reply;
}
