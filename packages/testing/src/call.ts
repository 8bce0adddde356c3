/** A call as a handler sees it, for tests of handlers without an edge. */
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { contentHash, derivedId } from '@caudal/kernel/ids.ts';
import type { Call } from '@caudal/rpc/types.ts';

export interface TestCall extends Call {
  /** What the handler said it wrote. */
  readonly written: { stream: string; version: number }[];
  /** The ages of what it said it remembered, in milliseconds. */
  readonly ages: number[];
}

export interface TestCallOptions {
  /** The request's id; with `content` it makes the command's id. */
  requestId?: string;
  /** What the request's hash stands for. */
  content?: string;
  /** Who calls. Default: somebody who may touch everything. */
  subject?: string;
}

/** A call of somebody who may touch everything, or, with `subject`, what is the subject's own. */
export function testCall({ requestId, content = '', subject }: TestCallOptions = {}): TestCall {
  const commandId: CommandId | undefined = requestId
    ? { key: derivedId('test', requestId), hash: contentHash(Buffer.from(content)) }
    : undefined;
  const written: TestCall['written'] = [];
  const ages: number[] = [];
  return {
    caller: { subject: subject ?? 'service:test', permissions: new Set() },
    method: '/test',
    origin: { actor: subject ?? 'service:test', causationId: 'cause', correlationId: 'correlation', traceparent: '' },
    commandId,
    deadline: new Date(Date.now() + 10_000),
    signal: new AbortController().signal,
    consistency: [],
    written,
    ages,
    wrote: (stream, version) => written.push({ stream, version }),
    remembered: (ageMs) => ages.push(ageMs),
    authorize(owner) {
      if (subject !== undefined && owner !== subject) {
        throw new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', "It is somebody else's.");
      }
    },
  };
}

/** Code and reason of what the promise is rejected with; fails if it is not. */
export async function refusalOf(promise: Promise<unknown>): Promise<{ code: string; reason: string }> {
  const error = await promise.then(
    (value) => {
      throw new Error(
        `Not refused: ${JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item))}`,
      );
    },
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CaudalError)) throw error;
  return { code: error.code, reason: error.reason };
}
