/**
 * The REST API by the names of the contract's methods. Routes are taken from the contract, so no test contains a path.
 */
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import { newId } from '@caudal/kernel/ids.ts';

// biome-ignore lint/suspicious/noExplicitAny: answers are JSON, and tests read their fields
export type Json = any;

export interface Reply {
  status: number;
  headers: Headers;
  /** Undefined if there is none. */
  body: Json;
  /** The consistency token. */
  token: string | undefined;
  etag: string | undefined;
}

export interface SendOptions {
  /** The consistency token of an earlier command. */
  after?: string;
  headers?: Record<string, string>;
  timeoutMs?: number;
}

export interface Api {
  /** Calls a method; returns any answer. */
  send(method: string, request?: Json, options?: SendOptions): Promise<Reply>;
  /** Calls a method. Throws `Refusal` unless the answer is 2xx. */
  call(method: string, request?: Json, options?: SendOptions): Promise<Reply>;
  /**
   * Calls a method, and repeats it with the same request id until it is answered: for systems whose processes are
   * killed.
   */
  insist(method: string, request?: Json): Promise<Reply>;
  /** Sends any request to a path of the role. */
  raw(role: 'command' | 'query', path: string, init?: RequestInit): Promise<Reply>;
  /** The same API for the owner of another token; without a token for anonymous callers. */
  as(token: string | undefined): Api;
}

/** An answer that is a problem. */
export class Refusal extends Error {
  readonly status: number;
  readonly reason: string;
  readonly body: Json;

  constructor(method: string, { status, body }: Reply) {
    super(`${method} was answered ${status}: ${JSON.stringify(body)}`);
    this.status = status;
    this.reason = body?.reason ?? '';
    this.body = body;
  }
}

export interface ApiOptions {
  baseUrl(role: 'command' | 'query'): string;
  token: string | undefined;
}

const timeoutMs = 15_000;
const insistMs = 60_000;

/** The public method with this name. */
export function methodNamed(name: string): MethodContract {
  const found = contract()
    .methods()
    .filter((method) => method.name === name);
  if (found.length !== 1) throw new Error(`${found.length} methods are called ${name}.`);
  return found[0]!;
}

export const roleOf = ({ service }: MethodContract) => (service.endsWith('QueryService') ? 'query' : 'command');

export function createApi({ baseUrl, token }: ApiOptions): Api {
  const raw: Api['raw'] = async (role, path, init = {}) => {
    const response = await fetch(`${baseUrl(role)}${path}`, {
      signal: AbortSignal.timeout(timeoutMs),
      ...init,
      headers: { ...(token && { authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string>) },
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : isJson ? JSON.parse(text) : text,
      token: response.headers.get('consistency-token') ?? undefined,
      etag: response.headers.get('etag') ?? undefined,
    };
  };

  const send: Api['send'] = (name, request = {}, { after, headers, ...options } = {}) => {
    const method = methodNamed(name);
    const [rule] = method.http;
    if (!rule) throw new Error(`${name} has no route.`);
    const { path, body } = placed(rule, request);
    return raw(roleOf(method), path, {
      method: rule.method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(after && { 'consistency-token': after }),
        ...headers,
      },
      ...(options.timeoutMs && { signal: AbortSignal.timeout(options.timeoutMs) }),
    });
  };

  const call: Api['call'] = async (name, request, options) => {
    const reply = await send(name, request, options);
    if (reply.status < 200 || reply.status > 299) throw new Refusal(name, reply);
    return reply;
  };

  return {
    send,
    call,
    raw,
    as: (other) => createApi({ baseUrl, token: other }),
    async insist(name, request = {}) {
      const writes = !methodNamed(name).noSideEffects;
      const repeatable = writes ? { requestId: newId(), ...request } : request;
      return insisting(() => call(name, repeatable));
    },
  };
}

/** Repeats the attempt while there is no answer, or the answer allows a retry. */
async function insisting<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + insistMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const away = error instanceof Refusal ? [429, 503, 504].includes(error.status) : true;
      if (!away || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 100));
    }
  }
}

/** How a request is divided into path, query and body. */
export function placed(rule: HttpRule, request: Json): { path: string; body: Json | undefined } {
  const rest = { ...request };
  const path = rule.template.replace(/\{(\w+)\}/g, (_, field: string) => {
    const name = field.replace(/_([a-z])/g, (__, letter: string) => letter.toUpperCase());
    const value = rest[name];
    delete rest[name];
    return encodeURIComponent(String(value));
  });
  if (rule.body) return { path, body: rest };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(rest)) {
    for (const item of Array.isArray(value) ? value : [value]) query.append(name, String(item));
  }
  return { path: query.size > 0 ? `${path}?${query}` : path, body: undefined };
}
