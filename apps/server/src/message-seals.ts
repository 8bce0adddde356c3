/** Seals of messages in this process: docs/message-seals.md. */
import { openSealCheck, type SealCheck } from '@caudal/messaging/seals/seal-check.ts';
import { openSealer, type Sealer } from '@caudal/messaging/seals/sealer.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { RuntimeValues } from './settings/settings.ts';
import type { TrustedKeys, WorkloadKeys } from './workload-keys.ts';

export interface MessageSeals {
  /** Undefined if this process has no key to seal with. */
  sealer: Sealer | undefined;
  /** Undefined if all messages are believed. */
  check: SealCheck | undefined;
}

const log = logger('seals');

type Values = Pick<RuntimeValues, 'CAUDAL_ALLOW_UNSEALED_MESSAGES' | 'CAUDAL_ROLES' | 'RABBITMQ_URL'>;

/** Opens the seals of a process. Says what is missing, if messages pass a broker. */
export function openMessageSeals(values: Values, keys: WorkloadKeys): MessageSeals {
  const { CAUDAL_ALLOW_UNSEALED_MESSAGES: believesAll, CAUDAL_ROLES: roles } = values;
  if (values.RABBITMQ_URL && !keys.signer && roles.includes('relay'))
    log.warn(
      'CAUDAL_SERVICE_KEY is not set, so this relay does not seal its messages: handlers read each event from the log. "caudal keys --workload" makes a key',
    );
  if (values.RABBITMQ_URL && believesAll)
    log.warn('CAUDAL_ALLOW_UNSEALED_MESSAGES is true: whoever has an account of RabbitMQ can make up events');
  const sealKeysOf = (trusted: TrustedKeys) => ({
    find: (keyId: string, context: string) => trusted.find(keyId, { context, role: 'relay' }),
  });
  return {
    sealer: keys.signer && openSealer(keys.signer),
    check: believesAll
      ? undefined
      : openSealCheck({
          get() {
            const trusted = keys.get();
            return trusted instanceof Promise ? trusted.then(sealKeysOf) : sealKeysOf(trusted);
          },
          renew: keys.renew,
        }),
  };
}
