/**
 * The secrets of webhooks. The contract names the setting, the context declares it, and a process that serves the
 * webhook needs it.
 */
import { randomBytes } from 'node:crypto';
import { ConfigError, type Problem, type Settings } from '@caudal/config/config.ts';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import type { Service } from '@caudal/rpc/types.ts';
import { logger } from '@caudal/telemetry/log.ts';

const log = logger('webhooks');

/** The values of settings, by name. */
type Named = Record<string, unknown>;

/** An error text for each webhook whose setting no context declares as a secret, which is a mistake in the code. */
function undeclaredSecrets(methods: MethodContract[], settings: Settings): string[] {
  return methods.flatMap(({ path, access: { webhook } }) => {
    const made = webhook && settings[webhook.secret];
    if (!webhook || (made?.secrecy === 'secret' && Array.isArray(made.schema.safeParse('x'.repeat(64)).data)))
      return [];
    return [`${path}: no context declares ${webhook.secret} by setting.secrets.`];
  });
}

/** The first of these webhooks whose secret is not set, worded for the operator. */
function missingSecret(methods: MethodContract[], values: Named): Problem | undefined {
  const lacking = methods.find(({ access: { webhook } }) => webhook && values[webhook.secret] === undefined);
  return (
    lacking && {
      name: lacking.access.webhook!.secret,
      wrong: `it is not set, so signatures of ${lacking.path} can't be checked`,
      fix: 'Set it to the secret that its sender signs with: "openssl rand -hex 32" makes one',
    }
  );
}

export interface WebhookSecretsOptions {
  /** The services of the process. */
  services: Service[];
  /** All settings, and their values. */
  settings: Settings;
  values: Named;
  /** Whether a random secret is made if one is not set. */
  development: boolean;
}

/**
 * The secrets of the served webhooks. Throws ConfigError if one is not set. In development a random one is made
 * instead, so the system starts and the webhook refuses every call.
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
      log.warn({ setting: name }, 'a webhook has no secret, so it refuses every call: set the setting');
    secrets[name] = (values[name] as string[] | undefined) ?? [randomBytes(32).toString('hex')];
  }
  return secrets;
}
