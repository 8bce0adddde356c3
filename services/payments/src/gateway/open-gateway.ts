/** The payment gateway of this process: the one that is configured, or a sandbox of its own. Behind a breaker. */
import { ConfigError } from '@caudal/config/config.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { withBreaker } from './breaker.ts';
import { httpGateway } from './http-gateway.ts';
import type { PaymentGateway } from './port.ts';
import { startSandboxGateway } from './sandbox.ts';

const log = logger('payment-gateway');

export interface OpenGatewayOptions {
  /** Of the gateway; undefined: there is none. */
  url: string | undefined;
  /** Whether the sandbox is asked for. */
  sandbox: boolean;
  /** Whether the sandbox will do where nothing is asked for. */
  development: boolean;
  apiKey: string | undefined;
  timeoutMs: number;
  /** Fires when the process ends. */
  signal: AbortSignal;
}

/** Throws ConfigError unless it is clear whether cards are charged for real. */
export async function openGateway(options: OpenGatewayOptions): Promise<PaymentGateway> {
  const { url, apiKey = '', timeoutMs, signal } = options;
  checkChoice(options);
  const gateway = withBreaker(httpGateway({ url: url ?? (await sandboxUrl(signal)), apiKey, timeoutMs }));
  signal.addEventListener('abort', () => void gateway.stop(), { once: true });
  return gateway;
}

function checkChoice({ url, sandbox, development }: OpenGatewayOptions): void {
  if (url && sandbox) {
    throw new ConfigError([
      {
        name: 'PAYMENTS_GATEWAY',
        wrong: 'it asks for the sandbox, while PAYMENTS_GATEWAY_URL names a gateway that takes real money',
        fix: 'Unset one of the two',
      },
    ]);
  }
  if (!url && !sandbox && !development) {
    throw new ConfigError([
      {
        name: 'PAYMENTS_GATEWAY_URL',
        wrong: 'it is not set, so no card can be charged',
        fix: 'Set it to the URL of the card gateway, or PAYMENTS_GATEWAY=sandbox to take every card without any money',
      },
    ]);
  }
}

async function sandboxUrl(signal: AbortSignal): Promise<string> {
  const sandbox = await startSandboxGateway();
  signal.addEventListener('abort', () => void sandbox.stop(), { once: true });
  log.warn({ url: sandbox.url }, 'cards are taken by a sandbox: no money moves');
  return sandbox.url;
}
