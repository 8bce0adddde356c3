/** docs/reference/events.md: all events, as messages that other systems may subscribe to. */

import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import { entities } from '@caudal/contract/entities.ts';
import { domainOf, typeOf } from '@caudal/contract/entity.ts';
import { exchangeName } from '@caudal/messaging/rabbitmq/topology.ts';
import { entitiesOf } from '@caudal/projections/events.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { table } from './markdown.ts';

export function eventsPage(): string {
  return [
    '# Events',
    '',
    "Every event that a log may hold, by entity. An event's type is also its routing key on RabbitMQ. The body of a message",
    "is the entity's union (say `caudal.orders.v1.OrderEvent`) in protobuf; [messages.md](../messages.md) has the headers,",
    'and [message-seals.md](../message-seals.md) a function that checks that a relay has sent a message.',
    'Fields marked *personal* are sealed in the log and in messages, with a key of the person: [personal-data.md](../personal-data.md).',
    '',
    ...entities.flatMap(({ name }) => entitySection(name)),
  ].join('\n');
}

function entitySection(name: string): string[] {
  const union = [...contract().registry].find(
    (type): type is DescMessage => type.kind === 'message' && contract().entityOf(type) === name,
  );
  if (!union) throw new Error(`No message of the contract is the union of ${name}'s events.`);
  const readers = contexts
    .flatMap(({ projections }) => projections)
    .filter(({ projection }) => entitiesOf(projection).includes(name))
    .map(({ projection }) => `\`${projection.name}\``);
  return [
    `## ${name}`,
    '',
    contract().comment(union),
    '',
    `Message \`${union.typeName}\`, exchange \`${exchangeName(domainOf(name))}\`, binding key \`${name}.#\`, ` +
      `streams \`${name}/<id>\`.${readers.length > 0 ? ` Views: ${readers.join(', ')}.` : ''}`,
    '',
    table(
      ['Type', 'What happened', 'Fields'],
      union.fields.map((field) => [
        `\`${typeOf(name, field.localName)}\``,
        contract().comment(field.message!) || contract().comment(field),
        field.message!.fields.map(fieldText).join(', '),
      ]),
    ),
  ];
}

function fieldText(field: DescField): string {
  const personal = contract().isPersonal(field) ? ', *personal*' : '';
  const comment = contract().comment(field);
  return `\`${field.name}\` (${typeText(field)}${personal}${comment ? `: ${comment.replace(/\.$/, '')}` : ''})`;
}

function typeText(field: DescField): string {
  const single =
    field.message?.name ?? field.enum?.name ?? (field.scalar ? ScalarType[field.scalar].toLowerCase() : '');
  if (field.fieldKind === 'map') return `map of ${single}`;
  return field.fieldKind === 'list' ? `list of ${single}` : single;
}
