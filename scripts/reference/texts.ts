/** docs/reference/texts.md: every free text that a public command takes, and who may see it. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { sizesOf } from '@caudal/rpc/schema/rules.ts';
import { table } from './markdown.ts';

export function textsPage(): string {
  const methods = contract().methods();
  const commands = methods.filter(({ http, stream, noSideEffects }) => (http.length > 0 || stream) && !noSideEffects);
  const rows = commands.flatMap((command) => freeTexts(command.request).map((text) => row(methods, command, text)));
  return [
    '# Free texts',
    '',
    'The texts of commands that no pattern binds: a caller can write anything into them, also what is personal. Each is searched for',
    '[card numbers](../personal-data.md#card-numbers), except where the contract says that numbers of others stand there. "Sealed" says which are under a',
    'person\'s key, so that an [erasure](../personal-data.md#erasing-a-customer) makes them unreadable. "Shown to" has the permissions of all reads of the same context whose answers have a',
    "field of that name, so it is shown to nobody else over the API; without `:any` they are for the caller's own. Who has `log.events.read` of the domain sees what is not sealed, too.",
    '',
    table(['Command', 'Field', 'Most characters', 'Sealed', 'Shown to'], rows),
  ].join('\n');
}

interface FreeText {
  path: string;
  field: DescField;
}

function freeTexts(type: DescMessage, prefix = ''): FreeText[] {
  return type.fields.flatMap((field) => {
    const path = `${prefix}${field.name}${field.fieldKind === 'list' || field.fieldKind === 'map' ? '[]' : ''}`;
    if (isFree(field)) return [{ path, field }];
    const { message } = field;
    return message && !message.typeName.startsWith('google.') ? freeTexts(message, `${path}.`) : [];
  });
}

/** Names of what Caudal or a standard has made up. */
const madeUp = /(?:^|_)ids?$|^(?:etag|page_token|order_by|currency|permissions|kind|policy)$/;

function isFree(field: DescField): boolean {
  if (field.scalar !== ScalarType.STRING || madeUp.test(field.name)) return false;
  const form = contract().textForm(field);
  if (form === 'currency' || form === 'customerId') return false;
  const { type } = (contract().fieldRules(field) ?? {}) as {
    type?: { case?: string; value?: Record<string, unknown> };
  };
  const text = type?.case === 'string' ? type.value : undefined;
  const { case: wellKnown } = (text?.wellKnown ?? {}) as { case?: string };
  return !text?.pattern && wellKnown !== 'uuid';
}

function row(methods: MethodContract[], command: MethodContract, { path, field }: FreeText): string[] {
  const reads = methods.filter(
    ({ service, http, noSideEffects, response }) =>
      noSideEffects &&
      http.length > 0 &&
      packageOf(service) === packageOf(command.service) &&
      has(response, field.name),
  );
  const shown = [...new Set(reads.map(({ access }) => `\`${access.permission}\``))];
  const { characters } = sizesOf(field);
  const most = characters === undefined ? '' : String(characters);
  return [command.name, `\`${path}\``, most, contract().isPersonal(field) ? 'yes' : 'no', shown.join(', ') || 'nobody'];
}

const packageOf = (service: string) => service.replace(/\.\w+$/, '');

function has(type: DescMessage, name: string, seen = new Set<DescMessage>()): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return type.fields.some((field) => field.name === name || (field.message && has(field.message, name, seen)));
}
