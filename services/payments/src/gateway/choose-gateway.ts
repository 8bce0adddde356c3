/**
 * The payment gateway of this process: the configured one, or a sandbox inside the process. Behind a circuit breaker.
 */
import { ConfigError } from '@caudal/config/config.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { withBreaker } from './circuit-breaker.ts';
import { httpGateway } from './http-gateway.ts';
import type { PaymentGateway } from './port.ts';
import { startSandboxGateway } from './sandbox.ts';

const log = logger('payment-gateway');

export interface OpenGatewayOptions {
  /** URL of the gateway; undefined: none is configured. */
  url: string | undefined;
  /** The sandbox is chosen by a setting. */
  sandbox: boolean;
  /** The sandbox is the default if no setting is given. */
  development: boolean;
  apiKey: string | undefined;
  timeoutMs: number;
  /** Fires when the process ends. */
  signal: AbortSignal;
}

/** Throws ConfigError if the settings leave open whether cards are really charged. */
export async function chooseGateway(options: OpenGatewayOptions): Promise<PaymentGateway> {
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
        wrong: 'it chooses the sandbox, while PAYMENTS_GATEWAY_URL names a gateway that takes real money',
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
