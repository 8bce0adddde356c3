/** docs/reference/errors.md: every reason that an error or an event may carry. */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { httpStatus } from '@caudal/rpc/rest/problem.ts';
import { type CataloguedReason, catalogue } from './catalogue.ts';
import { table } from './markdown.ts';

export async function errorsPage(): Promise<string> {
  const all = await catalogue();
  const owners = [...new Set(all.map(({ owner }) => owner))].sort(bySoonestSeen);
  return [
    '# Errors',
    '',
    "An error has a code (one of gRPC's; REST turns it into an HTTP status) and a reason, which programs can compare.",
    'The code says how to react, the reason says what happened. Some reasons also occur in events and in resources: why a payment',
    'failed, why an order was rejected. The form of errors in answers is in [api.md](../api.md#errors).',
    '',
    ...owners.flatMap((owner) => [
      `## ${titleOf(owner)}`,
      '',
      table(['Reason', 'Code', 'HTTP', 'What it means'], all.filter((each) => each.owner === owner).map(row)),
    ]),
  ].join('\n');
}

function row({ reason, code, meaning }: CataloguedReason): string[] {
  return [`\`${reason}\``, code, String(httpStatus(new CaudalError(code, reason, ''))), meaning];
}

/** First the reasons that any method may answer with, then those of contexts, then those that clients rarely see. */
function bySoonestSeen(a: string, b: string): number {
  const rank = (owner: string) => (owner === 'packages/rpc' ? 0 : owner.startsWith('services/') ? 1 : 2);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

function titleOf(owner: string): string {
  const name = owner.split('/')[1]!;
  if (owner === 'packages/rpc') return 'Any method';
  return owner.startsWith('services/') ? `The context ${name}` : `From inside: ${name}`;
}
