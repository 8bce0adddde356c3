/** charts/caudal/README.md: every value, from values.yaml and its schema. */
import { table } from '../reference/markdown.ts';
import { consumer, job, type Schema, workload } from './schema.ts';
import type { ValueKey } from './values.ts';

export function chartReadme(keys: ValueKey[]): string {
  const leaves = keys.filter(({ parent }) => !parent);
  return [
    '# The chart caudal',
    '',
    'Its one concept is the *workload*: what a process does (`roles`, `contexts`, `projections`) and how many pods do it.',
    'Deployments, Services, scaling, probes, budgets, policies and routes all follow from the workloads. A preset is a list',
    'of workloads.',
    '',
    '    kubectl create secret generic caudal --from-literal=DATABASE_URL=postgres://... --from-file=CAUDAL_JWKS=jwks.json \\',
    '      --from-literal=CAUDAL_PERSONAL_DATA_KEYS="first:$(openssl rand -base64 32)"',
    '    helm install caudal charts/caudal --set secrets.DATABASE_URL.existingSecret=caudal \\',
    '      --set secrets.CAUDAL_JWKS.existingSecret=caudal --set secrets.CAUDAL_PERSONAL_DATA_KEYS.existingSecret=caudal \\',
    '      --set settings.PAYMENTS_GATEWAY=sandbox',
    '',
    'The pages in `docs/operations/` say how to run it: install, upgrade, sizing, scaling, alerts.',
    '',
    '| Preset | Workloads | Needs |',
    '|---|---|---|',
    '| `monolith` | one, which does everything | PostgreSQL |',
    '| `small` | one per role | the stores that you name, and a service key |',
    '| `production` | command, query, relay, jobs, sagas and each hot projection, scaled | all stores, KEDA, metrics-server |',
    '',
    '## Values',
    '',
    table(
      ['Key', 'Default', 'What it is'],
      leaves.map(({ path, value, comment }) => [`\`${path.join('.')}\``, `\`${JSON.stringify(value)}\``, comment]),
    ),
    '## Keys of a workload',
    '',
    keysOf(workload),
    '## Keys of a job',
    '',
    keysOf(job),
    '## Keys of a consumer',
    '',
    keysOf(consumer),
    '## Choices',
    '',
    '- **A Service per context and role** for calls between workloads. It selects pods by the labels of what they serve. So',
    '  `CAUDAL_COMMAND_ADDRESS` stays the same however contexts and roles are divided into workloads.',
    '- **Settings are in the pods, not in a ConfigMap:** a change is a new version of the Deployment, rolled out and rolled back',
    '  like any other. Credentials are files from your Secrets; the chart makes no Secrets.',
    '- **No preStop hook:** after SIGTERM a process reports that it is not ready and works on for `shutdown.graceSeconds`.',
    '- **One trigger over the sum of all queues of a workload:** its pods consume all of them together.',
    '- **maxUnavailable, not minAvailable,** in budgets: so a drain can proceed where a workload has one pod.',
    '',
  ].join('\n');
}

function keysOf(schema: Schema): string {
  const properties = schema.properties as Record<string, { description: string }>;
  return table(
    ['Key', 'What it is'],
    Object.entries(properties).map(([name, { description }]) => [`\`${name}\``, description]),
  );
}
