/** Verbs in paths: fastify takes a colon as the start of a parameter. See README, Verbs in paths. */

/** The template as it is routed, with its verb first: `/v1/orders/{order_id}:cancel` as `/:cancel/v1/orders/{order_id}`. */
export const routedTemplate = (template: string): string => template.replace(/^(.*):(\w+)$/, '/:$2$1');

/** The paths of a template. */
export function pathOf(template: string): RegExp {
  return new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`);
}

/**
 * Rewrites `/v1/orders/1:cancel` to `/:cancel/v1/orders/1`. What is no verb of the resource is part of the id:
 * `/v1/customers/urn:example:user:42`.
 */
export function verbSplitter(templates: string[]): (url: string) => string {
  const known = templates.flatMap((template) => {
    const [, resource, verb] = /^(.*):(\w+)$/.exec(template) ?? [];
    return resource === undefined ? [] : [{ resources: pathOf(resource), verb }];
  });
  return (url) => {
    const [, path = url, query = ''] = /^([^?]*)(\?.*)?$/s.exec(url) ?? [];
    const [, resource, verb] = /^(.*[^/]):(\w+)$/.exec(path) ?? [];
    if (!known.some((each) => each.verb === verb && each.resources.test(resource!))) return url;
    return `/:${verb}${resource}${query}`;
  };
}
