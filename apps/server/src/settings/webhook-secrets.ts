/** The secrets of webhooks: the contract names the setting of each, its context declares it, and whatever serves it needs it. */
import { randomBytes } from 'node:crypto';
import { ConfigError, type Problem, type Settings } from '@caudal/config/config.ts';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { Service } from '@caudal/rpc/types.ts';
import { logger } from '@caudal/telemetry/log.ts';

const log = logger('webhooks');

/** The values of settings, by name. */
type Named = Record<string, unknown>;

/** Those webhooks whose setting no context declares as a secret, in words: a mistake in the code. */
function undeclaredSecrets(methods: MethodContract[], settings: Settings): string[] {
  return methods.flatMap(({ path, access: { webhook } }) => {
    if (!webhook || settings[webhook.secret]?.secrecy === 'secret') return [];
    return [`${path}: no context declares ${webhook.secret} by setting.secrets.`];
  });
}

/** The webhook among these methods whose secret is not set, as an operator mends it. */
function missingSecret(methods: MethodContract[], values: Named): Problem | undefined {
  const lacking = methods.find(({ access: { webhook } }) => webhook && values[webhook.secret] === undefined);
  return (
    lacking && {
      name: lacking.access.webhook!.secret,
      wrong: `it is not set, and the signatures of ${lacking.path} are checked with it`,
      fix: 'Set it to what its sender signs with: "openssl rand -hex 32" makes one',
    }
  );
}

export interface WebhookSecretsOptions {
  /** What the process serves. */
  services: Service[];
  /** All settings, and their values. */
  settings: Settings;
  values: Named;
  /** Whether a secret may be made up where one is not set. */
  development: boolean;
}

/**
 * The secrets of the webhooks that are served. Throws ConfigError where one is not set; in development a random one
 * is made, so that the system starts and the webhook refuses every call.
 */
export function webhookSecrets({ services, settings, values, development }: WebhookSecretsOptions) {
  const methods = services.flatMap(({ definition }) =>
    Object.values(definition).map(({ path }) => contract().method(path)),
  );
  const undeclared = undeclaredSecrets(methods, settings);
  if (undeclared.length > 0) throw new Error(undeclared.join('\n'));
  const problem = missingSecret(methods, values);
  if (problem && !development) throw new ConfigError([problem]);
  const secrets: Record<string, string[]> = {};
  for (const { access } of methods) {
    const name = access.webhook?.secret;
    if (!name) continue;
    if (values[name] === undefined)
      log.warn({ setting: name }, 'a webhook has no secret: it refuses every call until the setting is set');
    secrets[name] = (values[name] as string[] | undefined) ?? [randomBytes(32).toString('hex')];
  }
  return secrets;
}
