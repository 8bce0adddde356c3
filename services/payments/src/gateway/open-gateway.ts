/** The payment gateway of this process: the one that is configured, or a sandbox of its own. Behind a breaker. */
import { withBreaker } from './breaker.ts';
import { httpGateway } from './http-gateway.ts';
import type { PaymentGateway } from './port.ts';
import { startSandboxGateway } from './sandbox.ts';

export interface OpenGatewayOptions {
  url: string | undefined;
  apiKey: string | undefined;
  timeoutMs: number;
  /** Fires when the process ends. */
  signal: AbortSignal;
}

export async function openGateway({
  url,
  apiKey = '',
  timeoutMs,
  signal,
}: OpenGatewayOptions): Promise<PaymentGateway> {
  const gateway = withBreaker(httpGateway({ url: url ?? (await sandboxUrl(signal)), apiKey, timeoutMs }));
  signal.addEventListener('abort', () => void gateway.stop(), { once: true });
  return gateway;
}

async function sandboxUrl(signal: AbortSignal): Promise<string> {
  const sandbox = await startSandboxGateway();
  signal.addEventListener('abort', () => void sandbox.stop(), { once: true });
  return sandbox.url;
}
