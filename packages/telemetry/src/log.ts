/**
 * Structured logs: JSON lines on standard error, with the ids of the trace that they belong to. Logging never throws,
 * and it writes neither secrets nor personal data: fields with their names are replaced, and of an error only harmless
 * fields are written.
 */
import { withoutSecrets } from '@caudal/kernel/redact.ts';
import { isSpanContextValid, trace } from '@opentelemetry/api';
import pino from 'pino';

export type Logger = pino.Logger;

/** Fields that are never written, at the top of a log line or up to two objects deep. */
const hiddenFields = [
  ...['password', 'passwd', 'secret', 'token', 'accessToken', 'access_token', 'apiKey', 'api_key'],
  ...['authorization', 'Authorization', 'cookie', 'jwt', 'cardToken', 'card_token', 'connectionString'],
  // Fields that the contract marks as (caudal.personal).
  ...['email', 'displayName', 'display_name'],
];

interface ErrorFields {
  type: string;
  message: string;
  code?: string | number;
  reason?: string;
  stack?: string;
  cause?: ErrorFields;
}

/**
 * The fields of an error that are logged. Others are not, since clients of databases attach whole requests, with
 * credentials. `depth`: how many causes to follow.
 */
function errorFields(error: unknown, depth = 5): ErrorFields {
  if (!(error instanceof Error)) return { type: typeof error, message: withoutSecrets(String(error)) };
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  return {
    type: error.name,
    message: withoutSecrets(error.message),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    ...(typeof reason === 'string' && { reason }),
    ...(error.stack && { stack: withoutSecrets(error.stack) }),
    ...(error.cause !== undefined && depth > 0 && { cause: errorFields(error.cause, depth - 1) }),
  };
}

/** A message as it is written. */
const shown = (part: unknown) => (typeof part === 'string' ? withoutSecrets(part) : part);

/** Makes the root logger. `destination`: receives the lines; standard error if absent. */
export function createLogger(
  level = process.env.LOG_LEVEL ?? 'info',
  destination: pino.DestinationStream = pino.destination(2),
): Logger {
  return pino(
    {
      level: level in pino.levels.values || level === 'silent' ? level : 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => errorFields(error), error: (error: unknown) => errorFields(error) },
      redact: { paths: hiddenFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '***' },
      hooks: {
        logMethod(args, method) {
          try {
            const [first] = args as unknown[];
            // pino would log the message of a lone error unchanged.
            if (first instanceof Error && args.length === 1)
              method.call(this, { err: first } as never, withoutSecrets(first.message) as never);
            else method.apply(this, (args as unknown[]).map(shown) as typeof args);
          } catch (error) {
            const message = (args as unknown[]).find((part) => typeof part === 'string') ?? '';
            method.call(this, `${message} (its fields could not be logged: ${(error as Error).message})`);
          }
        },
      },
      mixin() {
        const span = trace.getActiveSpan()?.spanContext();
        return span && isSpanContextValid(span) ? { trace_id: span.traceId, span_id: span.spanId } : {};
      },
    },
    destination,
  );
}

const root = createLogger();

/** The logger of one component: `logger('relay')`. Errors go in the field `err`. */
export function logger(component: string): Logger {
  return root.child({ component });
}
