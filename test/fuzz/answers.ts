/** What must hold for every answer over gRPC, whatever the request. */
import { fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { type Any, anyUnpack } from '@bufbuild/protobuf/wkt';
import { contract } from '@caudal/contract/descriptors.ts';
import { status } from '@grpc/grpc-js';
import type { FuzzCall } from './calls.ts';
import { type GrpcReply, messagesIn } from './grpc-call.ts';
import { insides } from './insides.ts';

/** Reasons by the code that the catalogue gives them. */
export type Reasons = ReadonlyMap<string, string>;

/** The result of a call, for the counts. */
export interface Verdict {
  code: string;
  reason: string;
  /** What is wrong with the answer; empty if nothing is. */
  faults: string[];
}

/** The bound of an answer: LogService stops at 2 MiB, and a page has 100 items. */
export const maxAnswerBytes = 4 * 1024 * 1024;
/** Details have 4 KiB at most, the message 1,000 characters, and both are escaped. */
const maxEndBytes = 16 * 1024;

/** The codes that may say that a request is wrong. */
const clients = new Set([
  ...['OK', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND', 'ALREADY_EXISTS', 'ABORTED', 'OUT_OF_RANGE'],
  ...['PERMISSION_DENIED', 'UNAUTHENTICATED'],
]);

function codesFor({ method, message, excuses }: FuzzCall): Set<string> {
  const codes = new Set(clients);
  if (message.length > (method.maxRequestBytes ?? Number.POSITIVE_INFINITY))
    return new Set(['RESOURCE_EXHAUSTED', 'UNAUTHENTICATED', 'PERMISSION_DENIED']);
  if (excuses.includes('soon')) codes.add('DEADLINE_EXCEEDED');
  return codes;
}

/** Checks an answer. */
export function judge(call: FuzzCall, given: GrpcReply, reasons: Reasons): Verdict {
  const reply = call.method.stream ? unfolded(call, given) : given;
  const faults: string[] = [];
  if (reply.ended !== 'answered') return { code: reply.ended, reason: '', faults: [`the call was ${reply.ended}`] };
  if (reply.httpStatus !== 200) faults.push(`HTTP ${reply.httpStatus}`);
  if (reply.body.length > maxAnswerBytes) faults.push(`${reply.body.length} bytes`);
  const code = status[Number(reply.headers['grpc-status'])] ?? `${reply.headers['grpc-status']}`;
  if (!codesFor(call).has(code)) faults.push(`code ${code}`);
  if (code === 'OK') {
    faults.push(...faultsOfAnswer(call, reply.body));
    return { code, reason: '', faults };
  }
  const text = decodeURIComponent(String(reply.headers['grpc-message'] ?? ''));
  const details = String(reply.headers['grpc-status-details-bin'] ?? '');
  // A deadline may be over between an answer and its end.
  if (reply.body.length > 0 && !call.excuses.includes('soon')) faults.push('a failed call with a message');
  if (text === '') faults.push('no message');
  if (text.length + details.length > maxEndBytes) faults.push(`an end of ${text.length + details.length} bytes`);
  const leak = insides.exec(text) ?? insides.exec(Buffer.from(details, 'base64').toString());
  if (leak) faults.push(`shows something internal: ${leak[0]}`);
  // If a deadline is over before Caudal has the call, grpc-js alone answers, without details.
  const ours = code !== 'DEADLINE_EXCEEDED' || details !== '';
  const { reason, wrong } = ours ? readDetails(details, text, code, reasons) : { reason: '', wrong: [] };
  return { code, reason, faults: [...faults, ...wrong] };
}

/** The answer of a method with streams whose message has an error, as if the error were that of a call. */
function unfolded({ method }: FuzzCall, reply: GrpcReply): GrpcReply {
  const [message] = messagesIn(reply.body) ?? [];
  if (Number(reply.headers['grpc-status']) !== status.OK || !message) return reply;
  const { error } = fromBinary(method.response, message) as Message & { error?: RpcStatus };
  if (!error) return reply;
  const bytes = toBinary(contract().registry.getMessage('google.rpc.Status')!, error);
  return {
    ...reply,
    body: Buffer.of(),
    headers: {
      ...reply.headers,
      'grpc-status': String(error.code),
      'grpc-message': encodeURIComponent(error.message),
      'grpc-status-details-bin': Buffer.from(bytes).toString('base64'),
    },
  };
}

function faultsOfAnswer({ method }: FuzzCall, body: Buffer): string[] {
  const messages = messagesIn(body);
  if (messages?.length !== 1) return [`${messages?.length ?? 'broken'} messages`];
  try {
    fromBinary(method.response, messages[0]!);
    return [];
  } catch (error) {
    return [`no ${method.response.name}: ${error}`];
  }
}

interface RpcStatus extends Message {
  code: number;
  message: string;
  details: Any[];
}
interface ErrorInfo {
  reason: string;
  domain: string;
}

/**
 * Checks the google.rpc.Status in the end of a call: one ErrorInfo with a catalogued reason, and only details that are
 * documented.
 */
function readDetails(base64: string, text: string, code: string, reasons: Reasons) {
  const wrong: string[] = [];
  let reason = '';
  try {
    const { registry } = contract();
    const found = fromBinary(registry.getMessage('google.rpc.Status')!, Buffer.from(base64, 'base64')) as RpcStatus;
    if (status[found.code] !== code) wrong.push(`details of code ${found.code}`);
    if (found.message !== text) wrong.push('details with another message');
    const unpacked = found.details.map(
      (detail) => [detail.typeUrl.split('/').pop(), anyUnpack(detail, registry)] as const,
    );
    for (const [name, detail] of unpacked) {
      if (!detail) wrong.push(`a broken ${name}`);
      if (!['google.rpc.ErrorInfo', 'google.rpc.BadRequest', 'google.rpc.RetryInfo'].includes(name!))
        wrong.push(`a ${name}`);
    }
    const infos = unpacked
      .filter(([name]) => name === 'google.rpc.ErrorInfo')
      .map(([, info]) => info as unknown as ErrorInfo);
    if (infos.length !== 1) wrong.push(`${infos.length} times ErrorInfo`);
    reason = infos[0]?.reason ?? '';
    if (infos[0]?.domain !== 'caudal') wrong.push(`domain ${infos[0]?.domain}`);
    if (reasons.get(reason) !== code) wrong.push(`reason ${reason}, which is catalogued as ${reasons.get(reason)}`);
  } catch (error) {
    wrong.push(`details that can't be read: ${error}`);
  }
  return { reason, wrong };
}
