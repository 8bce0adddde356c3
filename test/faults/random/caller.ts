/** Calls the REST API as a careful client does, and records every attempt. */
import { newId } from '@caudal/kernel/ids.ts';
import type { Random } from '@caudal/testing/random.ts';
import { createApi, type Json, methodNamed, type Reply, roleOf } from '../../e2e/api.ts';
import type { System } from '../../e2e/system.ts';
import type { Attempt, History, Operation } from './history.ts';

/** Longer than any deadline of the server: a call that has no answer by then would wait for ever. */
export const patienceMs = 12_000;
const insistMs = 120_000;

export interface Caller {
  /**
   * Sends a command, and adds it to the history. With `insist` it is repeated, at any process, with the same request id
   * until it is answered, for two minutes at most. Else it is sent once, and its outcome may stay unknown.
   */
  command(method: string, request: Json, options: { insist: boolean }): Promise<Operation & { token?: string }>;
  /** Sends a query, once. Undefined if there was no answer. `after`: a consistency token. */
  ask(method: string, request: Json, after?: string): Promise<Reply | undefined>;
}

/** Answers after which the command may be done nevertheless. */
const leavesOpen = new Set([0, 408, 499, 500, 502, 503, 504]);
/** Answers after which a repeat may succeed. */
const comeBack = new Set([0, 408, 429, 499, 502, 503, 504]);

export interface CallerOptions {
  name: string;
  system: System;
  token: string;
  history: History;
  random: Random;
  /** Called with every attempt, of commands and queries. */
  onAttempt(attempt: Attempt & { method: string }): void;
}

export function createCaller({ name, system, token, history, random, onAttempt }: CallerOptions): Caller {
  const partsOf = (role: string) => system.parts.filter((part) => part.name.startsWith(`${role}-`));
  const apis = new Map(system.parts.map((part) => [part.name, createApi({ baseUrl: () => part.rest, token })]));

  async function attempt(method: string, request: Json, headers: Record<string, string>, after?: string) {
    const part = random.pick(partsOf(roleOf(methodNamed(method)))).name;
    const began = history.now();
    let reply: Reply | undefined;
    let reason = '';
    try {
      reply = await apis.get(part)!.send(method, request, { headers, after, timeoutMs: patienceMs });
      reason = reply.body?.reason ?? '';
    } catch (error) {
      const { name: kind, cause } = error as Error & { cause?: { code?: string } };
      reason = kind === 'TimeoutError' ? 'no answer' : (cause?.code ?? String(error));
    }
    const made: Attempt = { part, began, ended: history.now(), status: reply?.status ?? 0, reason };
    onAttempt({ ...made, method });
    return { made, reply };
  }

  return {
    async command(method, request, { insist }) {
      const id = newId();
      const withId = { requestId: newId(), ...request };
      const attempts: Attempt[] = [];
      const began = history.now();
      let reply: Reply | undefined;
      do {
        if (attempts.length > 0) await new Promise((resolve) => setTimeout(resolve, random.int(50, 500)));
        const tried = await attempt(method, withId, { 'caudal-causation-id': id });
        attempts.push(tried.made);
        reply = tried.reply;
      } while (insist && comeBack.has(attempts.at(-1)!.status) && history.now() - began < insistMs);

      const { status, reason } = attempts.at(-1)!;
      // The last attempt may be refused while an earlier one, in a stopped process, may still be done later.
      const isOpen = attempts.some((tried) => leavesOpen.has(tried.status));
      const outcome = status >= 200 && status < 300 ? 'done' : isOpen ? 'unknown' : 'refused';
      const operation: Operation = {
        ...{ id, client: name, method, request: withId, began, ended: history.now() },
        ...{ outcome, status, reason, attempts },
      };
      history.add(operation);
      return { ...operation, token: reply?.token };
    },

    ask: async (method, request, after) => (await attempt(method, request, {}, after)).reply,
  };
}
