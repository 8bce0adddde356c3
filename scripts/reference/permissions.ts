/** docs/reference/permissions.md: the permission that each method needs, and its route in REST. */
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { table } from './markdown.ts';

export function permissionsPage(): string {
  const methods = contract().methods();
  const services = [...new Set(methods.map(({ service }) => service))];
  return [
    '# Methods and permissions',
    '',
    "A token lists permissions in its claim `scope`. `orders.orders.read` is for the caller's own orders, if the method",
    'has an owner; `orders.orders.read:any` is for all orders. Methods without a REST route are [streams](../streams.md), over gRPC only, or',
    "internal: only Caudal's own services call them, over gRPC. [api.md](../api.md#permissions) says how this is checked.",
    '',
    '"Served" says how a method differs from most methods, as [api.md](../api.md#how-a-method-is-served) explains: a status',
    'of success other than 200, a bound of the request other than 4 MiB, a class of rate limit other than `DEFAULT`.',
    '',
    ...services.flatMap((service) => {
      const own = methods.filter((method) => method.service === service);
      return [
        `## ${service}`,
        '',
        contract().comment(contract().registry.getService(service)!),
        '',
        table(['Method', 'REST', 'Permission', 'Own means', 'Served'], own.map(row)),
      ];
    }),
  ].join('\n');
}

function row(method: MethodContract): string[] {
  const { name, http, access, stream } = method;
  const routes = http.map(({ method: verb, template }) => `\`${verb} ${template}\``);
  return [
    name,
    routes.join(', ') || (access.internal ? 'internal' : stream ? 'none: a stream' : 'none'),
    permissionOf(access),
    ownerOf(access),
    servedOf(method),
  ];
}

function permissionOf({ authentication, permission, scopeField, webhook }: MethodContract['access']): string {
  if (authentication === 'NONE') return 'none: public';
  return webhook
    ? `none: signed with \`${webhook.secret}\``
    : `\`${permission}${scopeField === undefined ? '' : `:<${scopeField}>`}\``;
}

function ownerOf({ ownerField, ownerInResource, authentication }: MethodContract['access']): string {
  if (ownerField !== undefined) return `\`${ownerField}\` is the caller`;
  if (ownerInResource) return "the resource is the caller's";
  return authentication === 'TOKEN' ? 'no owner: the permission decides' : '';
}

function servedOf({ successStatus, maxRequestBytes, rateLimit, reads }: MethodContract): string {
  return [
    ...(successStatus === 200 ? [] : [String(successStatus)]),
    ...(maxRequestBytes === undefined ? [] : [`${sizeOf(maxRequestBytes)} at most`]),
    ...(rateLimit === 'DEFAULT' ? [] : [`\`${rateLimit}\``]),
    ...(reads.maxAgeSeconds === 0 ? [] : [`kept for ${reads.maxAgeSeconds} s${reads.shared ? ' by all caches' : ''}`]),
    ...(reads.strength === undefined ? [] : [`read \`${reads.strength}\``]),
  ].join(', ');
}

/** `64 KiB`; in bytes if it is not a whole number of KiB. */
function sizeOf(bytes: number): string {
  if (bytes % 2 ** 20 === 0) return `${bytes / 2 ** 20} MiB`;
  return bytes % 2 ** 10 === 0 ? `${bytes / 2 ** 10} KiB` : `${bytes} bytes`;
}
