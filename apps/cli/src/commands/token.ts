/** `caudal token`: signs a token, for development and for operators. */
import { setting } from '@caudal/config/setting.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import { withoutScope } from '@caudal/server/service-permissions.ts';
import { Command, InvalidArgumentError } from 'commander';
import { several } from '../arguments.ts';
import { say, sayJson } from '../output.ts';
import { everything } from '../permissions.ts';
import { openSigner } from '../signer.ts';
import { UsageError, unknownName } from '../usage.ts';
import { loadSettings } from '../with-app.ts';

interface Options {
  subject: string;
  permission?: string[];
  all?: boolean;
  /** In milliseconds. */
  ttl: number;
  json?: boolean;
}

export function tokenCommand(): Command {
  return new Command('token')
    .description('sign a token to call the API with')
    .requiredOption('--subject <id>', "the caller: a customer's id")
    .option(
      '--permission <name>',
      'a permission for the caller\'s own resources, or with ":any" for all; may be repeated',
      several,
    )
    .option('--all', 'all permissions, for all resources')
    .option('--ttl <duration>', 'how long the token is valid: 15m, 1h, 12h', duration, 3_600_000)
    .option('--json', 'print the token and its content as one JSON object')
    .addHelpText(
      'after',
      `
The token is signed with CAUDAL_USER_KEY, else with CAUDAL_SERVICE_KEY; a subject "service:..." always with the latter. If neither is
set, it is signed with the key that "caudal start" stores beside the embedded data. In that case the command prints the data
directory to standard error.

Example: TOKEN=$(caudal token --subject customer-17 --permission orders.orders.place --ttl 15m)`,
    )
    .action(async ({ subject, permission = [], all = false, ttl, json = false }: Options) => {
      const permissions = all ? everything() : permission;
      if (permissions.length === 0)
        throw new UsageError('The token has no permissions. Add --permission NAME, or --all.');
      if (all && permission.length > 0) throw new UsageError('Give --all or --permission, not both.');
      if (/^(webhook|public):/.test(subject))
        throw new UsageError(`"${subject}" would be refused: "webhook:" and "public:" name callers without a token.`);
      checkPermissions(permission);
      const values = loadSettings();
      const bound = subject.startsWith('service:') ? 'CAUDAL_SERVICE_TOKEN_MAX_LIFETIME' : 'CAUDAL_TOKEN_MAX_LIFETIME';
      if (ttl > values[bound])
        throw new UsageError(
          `A token of --ttl would be refused: ${bound} allows ${values[bound] / 60_000} minutes. Give a shorter one, or raise the setting, here and where the system runs.`,
        );
      const identity = await openSigner(values);
      const expiresAt = new Date(Date.now() + ttl);
      const token = await identity.sign(subject, permissions, ttl / 1000);
      if (json) sayJson({ token, subject, permissions, expiresAt });
      else say(token);
    });
}

function duration(text: string): number {
  const parsed = setting.duration({ description: 'How long a token is valid.', min: 1_000 }).schema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('It must be a duration such as 30s, 15m, 1h or 12h.');
}

function checkPermissions(permissions: string[]): void {
  const known = [
    ...new Set(
      contract()
        .methods()
        .map(({ access }) => access.permission),
    ),
  ].sort();
  const wrong = permissions.find(
    (permission) => !known.includes(withoutScope(permission) ?? permission.replace(/:any$/, '')),
  );
  if (wrong !== undefined) throw unknownName('permission', wrong, known);
}
