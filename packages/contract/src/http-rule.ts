/** The routes of a method: `(google.api.http)`. */

/** One route of `google.api.http`. */
export interface HttpRule {
  method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';
  /** `/v1/orders/{order_id}:cancel` */
  template: string;
  /** Whether the fields that are not in the path are in the body. Otherwise they are in the query. */
  body: boolean;
}

/** A google.api.HttpRule as read from the descriptors. */
export interface HttpRuleMessage {
  pattern: { case?: string; value?: string };
  body: string;
  responseBody: string;
  additionalBindings: HttpRuleMessage[];
}

const verbs = new Set(['get', 'put', 'post', 'delete', 'patch']);

/** The routes of the method at `path`, including the additional ones. Throws if Caudal does not support a route. */
export function httpRules(path: string, rule: HttpRuleMessage): HttpRule[] {
  const { pattern, body, responseBody, additionalBindings } = rule;
  const template = pattern.value ?? '';
  if (!verbs.has(pattern.case ?? '') || !/^(\/[\w.]+|\/\{\w+\})+(:\w+)?$/.test(template))
    throw new Error(`${path}: Caudal does not serve routes like ${pattern.case} "${template}".`);
  if (!['', '*'].includes(body) || responseBody)
    throw new Error(`${path}: a route must have the body "*" or none, and no response_body.`);
  return [
    { method: pattern.case!.toUpperCase() as HttpRule['method'], template, body: body === '*' },
    ...additionalBindings.flatMap((binding) => httpRules(path, binding)),
  ];
}
