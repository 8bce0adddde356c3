/** `caudal keys`: key pairs for tokens. */
import { newId } from '@caudal/kernel/ids.ts';
import { generateKey, type Key } from '@caudal/rpc/server/tokens.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { contextsMember, rolesMember } from '@caudal/server/settings/keys.ts';
import { roles } from '@caudal/server/settings/settings.ts';
import { Command } from 'commander';
import { several } from '../arguments.ts';
import { say, sayJson } from '../output.ts';
import { UsageError, unknownName } from '../usage.ts';

interface Options {
  id?: string;
  workload?: string[];
  kubernetes?: string;
  json?: boolean;
}

export function keysCommand(): Command {
  return new Command('keys')
    .description('make key pairs: one part signs tokens, the other checks them')
    .option('--id <name>', "the key's id in a key set; a new one if absent")
    .option(
      '--workload <name=contexts@roles>',
      'a key for a workload, bound to its contexts ("orders,payments", or "all") and, if given, to its roles ("relay"); may be repeated',
      several,
    )
    .option('--kubernetes <name>', 'with --workload: print Secrets for the chart, <name>-<workload> and <name>-public')
    .option('--json', 'print them as one JSON object')
    .addHelpText(
      'after',
      `
Without --workload it makes one pair: CAUDAL_SERVICE_KEY is a secret and goes to processes that sign tokens, CAUDAL_JWKS goes to
all that check them. With --workload each workload gets a CAUDAL_SERVICE_KEY of its own, and CAUDAL_SERVICE_JWKS goes to all
processes. Only a key with the role relay seals messages; one without roles has all.

Examples: caudal keys > keys.env
          caudal keys --workload api=all@command,query --workload relay=all@relay --workload mails=notifications --kubernetes caudal-keys | kubectl apply -f -`,
    )
    .action(async ({ id, workload, kubernetes, json = false }: Options) => {
      if (!workload) {
        if (kubernetes !== undefined)
          throw new UsageError('--kubernetes needs the workloads: add --workload NAME=CONTEXTS@ROLES.');
        return sayPair(id ?? newId(), json);
      }
      if (id !== undefined) throw new UsageError('Keys of workloads are called by the workload: leave out --id.');
      const made = await workloadKeys(workload);
      if (kubernetes === undefined) sayWorkloads(made, json);
      else sayJson(secrets(kubernetes, made));
    });
}

async function sayPair(id: string, json: boolean): Promise<void> {
  const { privateKey, publicKey } = await generateKey(id);
  const keySet = { keys: [publicKey] };
  if (json) {
    sayJson({ CAUDAL_SERVICE_KEY: privateKey, CAUDAL_JWKS: keySet });
  } else {
    say(`CAUDAL_SERVICE_KEY='${JSON.stringify(privateKey)}'`);
    say(`CAUDAL_JWKS='${JSON.stringify(keySet)}'`);
  }
}

type PublicKey = Key['publicKey'] & { [contextsMember]: string[]; [rolesMember]?: string[] };

interface WorkloadKeys {
  CAUDAL_SERVICE_JWKS: { keys: PublicKey[] };
  /** The private keys by workload. */
  CAUDAL_SERVICE_KEY: Record<string, Key['privateKey']>;
}

async function workloadKeys(workloads: string[]): Promise<WorkloadKeys> {
  const keys: PublicKey[] = [];
  const signing: WorkloadKeys['CAUDAL_SERVICE_KEY'] = {};
  for (const text of workloads) {
    const [, name, list, ofRoles] = /^([a-z][a-z0-9-]{0,62})=([^@]+)(?:@(.+))?$/.exec(text) ?? [];
    if (!name || !list)
      throw new UsageError(
        `--workload ${text}: write NAME=CONTEXTS or NAME=CONTEXTS@ROLES, such as mails=notifications@saga.`,
      );
    if (signing[name]) throw new UsageError(`--workload ${name} is given twice.`);
    // A new key has a name of its own, so that it can be in the set beside the one that it replaces.
    const { privateKey, publicKey } = await generateKey(`${name}.${newId()}`);
    signing[name] = privateKey;
    const bound = ofRoles === undefined ? {} : { [rolesMember]: namesIn('role', ofRoles, roles) };
    keys.push({ ...publicKey, [contextsMember]: contextsIn(list), ...bound });
  }
  return { CAUDAL_SERVICE_JWKS: { keys }, CAUDAL_SERVICE_KEY: signing };
}

function contextsIn(list: string): string[] {
  if (list === 'all') return ['*'];
  return namesIn(
    'context',
    list,
    contexts.map(({ name }) => name),
  );
}

function namesIn(kind: string, list: string, known: readonly string[]): string[] {
  const named = list.split(',').map((name) => name.trim());
  const wrong = named.find((name) => !known.includes(name));
  if (wrong !== undefined) throw unknownName(kind, wrong, known);
  return named;
}

function sayWorkloads(made: WorkloadKeys, json: boolean): void {
  if (json) {
    sayJson(made);
    return;
  }
  say(`CAUDAL_SERVICE_JWKS='${JSON.stringify(made.CAUDAL_SERVICE_JWKS)}'`);
  for (const [name, key] of Object.entries(made.CAUDAL_SERVICE_KEY)) {
    say(`# ${name}`);
    say(`CAUDAL_SERVICE_KEY='${JSON.stringify(key)}'`);
  }
}

/** Kubernetes' Secrets: one for each workload, and one with the public halves. */
function secrets(prefix: string, { CAUDAL_SERVICE_JWKS, CAUDAL_SERVICE_KEY }: WorkloadKeys): object {
  const secret = (name: string, stringData: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `${prefix}-${name}` },
    stringData,
  });
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      secret('public', { CAUDAL_SERVICE_JWKS: JSON.stringify(CAUDAL_SERVICE_JWKS) }),
      ...Object.entries(CAUDAL_SERVICE_KEY).map(([name, key]) =>
        secret(name, { CAUDAL_SERVICE_KEY: JSON.stringify(key) }),
      ),
    ],
  };
}
