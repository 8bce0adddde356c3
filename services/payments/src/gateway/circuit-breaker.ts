/**
 * A circuit breaker around the gateway. While it is open, calls fail at once with UNAVAILABLE CIRCUIT_OPEN, without a
 * request. After `resetMs` one call is sent, and its outcome closes or reopens the circuit. opossum opens by the share
 * of failures in a window, which few calls never fill; so five failures in a row are counted here, and call `open()`.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';
import CircuitBreaker from 'opossum';
import type { PaymentGateway } from './port.ts';

export interface BreakerOptions {
  /** Failures in a row that open the circuit; 5 if absent. */
  failures?: number;
  /** How long it stays open before one call is sent, in milliseconds; 60,000 if absent. */
  resetMs?: number;
}

const circuit = 'payment-gateway';
const logs = logger(circuit);
const circuitState = gauge('circuit_state', 'State of a circuit breaker: 0 closed, 1 half open, 2 open', '1');

/** If half of at least 20 calls in 10 s fail, the circuit opens, even without five failures in a row. */
const rollingWindow = {
  rollingCountTimeout: 10_000,
  rollingCountBuckets: 10,
  volumeThreshold: 20,
  errorThresholdPercentage: 50,
  // Latency percentiles cost more than the rest of the breaker, and the metrics contain them already.
  rollingPercentilesEnabled: false,
};

/** The gateway behind a breaker. */
export function withBreaker(
  gateway: PaymentGateway,
  { failures = 5, resetMs = 60_000 }: BreakerOptions = {},
): PaymentGateway & Running {
  const breaker = new CircuitBreaker((call: () => Promise<unknown>) => call(), {
    ...rollingWindow,
    name: circuit,
    resetTimeout: resetMs,
    // Each call has its own time-out, which also ends its request.
    timeout: false,
  });
  let inRow = 0;
  breaker.on('success', () => {
    inRow = 0;
  });
  breaker.on('failure', () => {
    inRow += 1;
    if (inRow >= failures) breaker.open();
  });
  const entered = (state: string, value: number) => () => {
    circuitState.set(value, { circuit });
    logs.warn({ state }, 'the circuit of the payment gateway changed');
  };
  breaker.on('open', entered('open', 2));
  breaker.on('halfOpen', entered('half open', 1));
  breaker.on('close', entered('closed', 0));
  circuitState.set(0, { circuit });

  async function guarded<T>(call: () => Promise<T>): Promise<T> {
    try {
      return (await breaker.fire(call)) as T;
    } catch (error) {
      if (error instanceof CaudalError) throw error;
      if (!CircuitBreaker.isOurError(error as Error)) throw error;
      throw new CaudalError(
        'UNAVAILABLE',
        'CIRCUIT_OPEN',
        'The payment gateway has failed too often, so it is not called for a while.',
        {
          cause: error,
          retryAfterMs: resetMs,
          metadata: { dependency: 'the payment gateway' },
        },
      );
    }
  }

  return {
    charge: (charge, signal) => guarded(() => gateway.charge(charge, signal)),
    void: (key, signal) => guarded(() => gateway.void(key, signal)),
    refund: (key, signal) => guarded(() => gateway.refund(key, signal)),
    refundPart: (part, signal) => guarded(() => gateway.refundPart(part, signal)),
    async stop() {
      breaker.shutdown();
    },
  };
}
