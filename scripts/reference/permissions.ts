/** docs/reference/permissions.md: who may call what, and where it is found over REST. */
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { table } from './markdown.ts';

export function permissionsPage(): string {
  const methods = contract().methods();
  const services = [...new Set(methods.map(({ service }) => service))];
  return [
    '# Methods and permissions',
    '',
    "A token lists permissions in its claim `scope`. `orders.orders.read` is for the caller's own orders, where the method",
    "knows an owner; `orders.orders.read:any` is for everybody's. Methods without REST route are internal: only Caudal's own",
    'services call them, over gRPC. How this is checked is in [api.md](../api.md#who-may-what).',
    '',
    ...services.flatMap((service) => {
      const own = methods.filter((method) => method.service === service);
      return [
        `## ${service}`,
        '',
        contract().comment(contract().registry.getService(service)!),
        '',
        table(['Method', 'REST', 'Permission', 'Own means'], own.map(row)),
      ];
    }),
  ].join('\n');
}

function row({ name, http, access }: MethodContract): string[] {
  const routes = http.map(({ method, template }) => `\`${method} ${template}\``);
  return [name, routes.join(', ') || 'internal', `\`${access.permission}\``, ownerOf(access)];
}

function ownerOf({ ownerField, ownerInResource, internal }: MethodContract['access']): string {
  if (ownerField !== undefined) return `\`${ownerField}\` is the caller`;
  if (ownerInResource) return "the resource is the caller's";
  return internal ? '' : 'no owner: the permission decides';
}
