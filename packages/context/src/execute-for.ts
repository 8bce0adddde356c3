/** Runs a call's command and answers the call, for the handlers of all contexts. */
import type { Aggregates, Command } from '@caudal/aggregates/types.ts';
import type { EventCase } from '@caudal/contract/entity.ts';
import type { Call } from '@caudal/rpc/types.ts';

/** The part of a command that a call does not determine. */
export type CallsCommand<S, E extends EventCase, R, C> = Omit<
  Command<S, E, R, C>,
  'commandId' | 'origin' | 'signal' | 'forwardable'
>;

/**
 * Runs the command with the call's idempotency key, so that a repeat gets the first answer, and with its caller as
 * origin. The answer's consistency token covers what the command wrote. If another process owns the stream, rejects with
 * ForwardToOwner, which the handler passes on: the call's pipeline forwards the call. Errors: those of `Aggregates.execute`.
 */
export async function executeFor<S, E extends EventCase, R, C>(
  call: Call,
  aggregates: Aggregates,
  command: CallsCommand<S, E, R, C>,
): Promise<R> {
  const { commandId, origin, signal, forwardable } = call;
  const { reply, stream, version } = await aggregates.execute({ ...command, commandId, origin, signal, forwardable });
  call.wrote(stream, version);
  return reply;
}
