/** Methods whose answers over REST are pages for people: those that answer with a `caudal.type.v1.Page`. */
import type { DescMessage } from '@bufbuild/protobuf';
import type { HttpRule } from './http-rule.ts';

const typeName = 'caudal.type.v1.Page';

/** Whether the method is such a one. Throws an Error that names it if a browser could not open the page. */
export function answersPage({
  path,
  http,
  response,
}: {
  path: string;
  http: HttpRule[];
  response: DescMessage;
}): boolean {
  if (response.typeName !== typeName) return false;
  if (http.length === 0 || http.some(({ method }) => method !== 'GET'))
    throw new Error(`${path}: a ${typeName} is opened in a browser: give the method GET routes only.`);
  return true;
}
