/** A call for tests of handlers, without a listener. */
import type { CommandId } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { contentHash, derivedId } from '@caudal/kernel/ids.ts';
import type { Call } from '@caudal/rpc/types.ts';

export interface TestCall extends Call {
  /** The streams and versions that the handler has reported as written. */
  readonly written: { stream: string; version: number }[];
  /** The ages of cached values that the handler has reported, in milliseconds. */
  readonly ages: number[];
}

export interface TestCallOptions {
  /** The request's id; with `content` it makes the command's id. */
  requestId?: string;
  /** The request's content, of which its hash is made. */
  content?: string;
  /** The caller's subject; it may only use its own resources. If absent, the caller may use all. */
  subject?: string;
}

/** A call whose caller may use all resources, or with `subject` only that subject's own. */
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
        throw new CaudalError('PERMISSION_DENIED', 'NOT_OWNER', 'The resource belongs to another caller.');
      }
    },
  };
}

/** Code and reason of the CaudalError that the promise is rejected with. Throws if it is fulfilled. */
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
