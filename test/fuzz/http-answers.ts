/** What must hold for every answer over HTTP, whatever was sent. */
import type { Reasons } from './answers.ts';
import type { Exchange, HttpResponse } from './http-exchange.ts';
import { responsesIn } from './http-exchange.ts';
import type { HttpRequest } from './http-requests.ts';
import { insides } from './insides.ts';

const maxProblemBytes = 64 * 1024;

export interface HttpVerdict {
  /** The statuses of the answers, in their order. */
  statuses: number[];
  /** What is wrong; empty if nothing is. */
  faults: string[];
}

/** Checks the answers to a request. */
export function judgeHttp(
  { method, unfinished }: HttpRequest,
  { received, ended }: Exchange,
  reasons: Reasons,
): HttpVerdict {
  const faults: string[] = [];
  if (ended === 'overdue') faults.push('the connection stayed open');
  let responses: HttpResponse[] = [];
  try {
    responses = responsesIn(received, method === 'HEAD');
  } catch (error) {
    // If a connection is reset, answers on the way may be lost.
    if (ended !== 'reset') faults.push((error as Error).message);
  }
  if (received.length === 0 && ended === 'closed' && !unfinished) faults.push('no answer');
  for (const [index, response] of responses.entries())
    faults.push(...faultsOf(response, method === 'HEAD' && index === 0, reasons));
  return { statuses: responses.map(({ status }) => status), faults };
}

function faultsOf({ status, headers, body }: HttpResponse, isHead: boolean, reasons: Reasons): string[] {
  const faults: string[] = [];
  const text = body.toString();
  if (status >= 500) faults.push(`status ${status}`);
  if (status < 400) return faults;
  const type = headers.get('content-type')?.split(';')[0];
  if (type !== 'application/problem+json') faults.push(`${status} as ${type}`);
  if (isHead && body.length === 0) return faults;
  const leak = insides.exec(text);
  if (leak) faults.push(`shows something internal: ${leak[0]}`);
  if (body.length > maxProblemBytes) faults.push(`a problem of ${body.length} bytes`);
  try {
    const problem = JSON.parse(text);
    for (const name of ['type', 'title', 'detail', 'instance', 'code', 'reason'])
      if (typeof problem[name] !== 'string' || problem[name] === '') faults.push(`a problem without ${name}`);
    if (problem.status !== status) faults.push(`${status} with a problem of ${problem.status}`);
    if (problem.instance !== `urn:caudal:request:${headers.get('x-request-id')}`)
      faults.push(`instance ${problem.instance}`);
    if (reasons.get(problem.reason) !== problem.code)
      faults.push(`${problem.code} ${problem.reason} is not catalogued`);
  } catch {
    faults.push(`${status} with a body that is not JSON: ${text.slice(0, 100)}`);
  }
  const needed: Record<number, string> = { 401: 'www-authenticate', 405: 'allow', 429: 'retry-after' };
  if (needed[status] && !headers.has(needed[status])) faults.push(`${status} without ${needed[status]}`);
  return faults;
}
