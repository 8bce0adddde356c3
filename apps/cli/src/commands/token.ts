/** `caudal token`: signs a token, for development and for operators. */
import { setting } from '@caudal/config/setting.ts';
import { contract } from '@caudal/contract/descriptors.ts';
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
    .requiredOption('--subject <id>', "who calls: a customer's id")
    .option(
      '--permission <name>',
      'what the caller may do, for its own resources, or with ":any" for all; may be repeated',
      several,
    )
    .option('--all', 'everything that can be permitted')
    .option('--ttl <duration>', 'how long it holds: 15m, 1h, 7d', duration, 3_600_000)
    .option('--json', 'print the token and what is in it as one JSON object')
    .addHelpText(
      'after',
      `
Signed with CAUDAL_SERVICE_KEY; without one, with the key that "caudal start" keeps beside the embedded data. Which one
that is, it says on standard error.

Example: TOKEN=$(caudal token --subject customer-17 --permission orders.orders.place --ttl 15m)`,
    )
    .action(async ({ subject, permission = [], all = false, ttl, json = false }: Options) => {
      const permissions = all ? everything() : permission;
      if (permissions.length === 0) throw new UsageError('Say what it permits: --permission NAME, or --all.');
      checkPermissions(permission);
      const identity = await openSigner(loadSettings());
      const expiresAt = new Date(Date.now() + ttl);
      const token = await identity.sign(subject, permissions, ttl / 1000);
      if (json) sayJson({ token, subject, permissions, expiresAt });
      else say(token);
    });
}

function duration(text: string): number {
  const parsed = setting.duration({ description: 'How long a token holds.', min: 1_000 }).schema.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError('It must be a duration such as 30s, 15m, 1h or 7d.');
}

function checkPermissions(permissions: string[]): void {
  const known = [
    ...new Set(
      contract()
        .methods()
        .map(({ access }) => access.permission),
    ),
  ].sort();
  const wrong = permissions.find((permission) => !known.includes(permission.replace(/:any$/, '')));
  if (wrong !== undefined) throw unknownName('permission', wrong, known);
}
