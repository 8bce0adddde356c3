/** What the audit log has of a method's calls: reads `(caudal.act)`, and derives the rest. docs/audit.md */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { Access } from './access.ts';
import type { HttpRule } from './http-rule.ts';

export interface Audit {
  /** An act of an operator: recorded before it is done. */
  act: boolean;
  /** Its answer has personal fields. */
  personal: boolean;
  /** The request's fields that name what the call is about, by their names in the contract, the most telling first. */
  resource: string[];
}

/** The parts of the method that it follows from. */
export interface AuditOf {
  path: string;
  request: DescMessage;
  response: DescMessage;
  http: HttpRule[];
  access: Access;
  noSideEffects: boolean;
  isPersonal(field: DescField): boolean;
}

/** Throws an Error that names the method and what to change. */
export function auditOf(act: boolean, of: AuditOf): Audit {
  if (act && of.noSideEffects)
    throw new Error(`${of.path}: a method without side effects is no act: remove (caudal.act).`);
  return {
    act,
    personal: holdsPersonal(of.response, of.isPersonal, new Set()),
    resource: resourceOf(of),
  };
}

/** At any depth: a list of customers is as personal as one. */
function holdsPersonal(type: DescMessage, isPersonal: AuditOf['isPersonal'], seen: Set<DescMessage>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fields.some((field) => {
    const inner = field.fieldKind === 'enum' || field.fieldKind === 'scalar' ? undefined : field.message;
    return isPersonal(field) || (inner !== undefined && holdsPersonal(inner, isPersonal, seen));
  });
}

/** The fields in the path, then what else is called an id, then the owner. */
function resourceOf({ request, http, access }: AuditOf): string[] {
  // What such a call names may be the secret that it is allowed by: a link's token.
  if (access.authentication === 'NONE') return [];
  const inPath = http.flatMap(({ template }) => [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!));
  const ids = request.fields
    .filter(({ name, fieldKind }) => fieldKind === 'scalar' && name.endsWith('_id') && name !== 'request_id')
    .map(({ name }) => name);
  const named = [...inPath, ...ids, ...(access.ownerField === undefined ? [] : [access.ownerField])];
  return [...new Set(named)].filter((name) => request.fields.some((field) => field.name === name));
}
