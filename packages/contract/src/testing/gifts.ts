/** The contract with an entity whose events have texts of two persons: a gift belongs to its giver, and is sent to a receiver. */
import { create, fromBinary, setExtension, toBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from '@bufbuild/protobuf/wkt';
import { type Contract, contract, load } from '../descriptors.ts';
import { unionOf } from '../unions.ts';

/** The fields of the gift, with what marks them. */
export type Marks = Record<string, { personal?: true; person?: string }>;

const asItShouldBe: Marks = {
  receiver_id: {},
  giver_name: { personal: true },
  receiver_name: { personal: true, person: 'receiver_id' },
  greeting: { personal: true, person: 'receiver_id' },
};

/** The contract, with the entity `gifts.gift` beside its own. */
export function giftContract(marks: Marks = asItShouldBe): Contract {
  const { registry, files } = contract();
  const extension = (name: string) => registry.getExtension(`caudal.${name}`)!;
  const [label, string, message] = [
    FieldDescriptorProto_Label.OPTIONAL,
    FieldDescriptorProto_Type.STRING,
    FieldDescriptorProto_Type.MESSAGE,
  ];
  const fields = Object.entries(marks).map(([name, { personal, person }], index) => {
    const options = create(FieldOptionsSchema);
    if (personal) setExtension(options, extension('personal'), true);
    if (person) setExtension(options, extension('person'), person);
    return { name, number: index + 1, label, type: string, options };
  });
  const options = create(MessageOptionsSchema);
  setExtension(options, extension('entity'), 'gifts.gift');
  const file = create(FileDescriptorProtoSchema, {
    name: 'caudal/gifts/v1/events.proto',
    package: 'caudal.gifts.v1',
    syntax: 'proto3',
    dependency: ['caudal/options.proto'],
    messageType: [
      {
        name: 'GiftEvent',
        options,
        oneofDecl: [{ name: 'event' }],
        field: [
          { name: 'given', number: 1, label, type: message, typeName: '.caudal.gifts.v1.GiftGiven', oneofIndex: 0 },
        ],
      },
      { name: 'GiftGiven', field: fields },
    ],
  });
  return load(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files.file, file] })));
}

/** The bytes of a gift that was given. Call `useContract(giftContract())` before. */
export function giftBytes(gift: {
  receiverId: string;
  giverName: string;
  receiverName: string;
  greeting: string;
}): Uint8Array {
  const union = unionOf('gifts.gift')!;
  return toBinary(union, create(union, { event: { case: 'given', value: gift } } as never));
}

/** The gift in the bytes. */
export function giftOf(data: Uint8Array): unknown {
  const {
    $typeName: _,
    $unknown: __,
    ...gift
  } = (fromBinary(unionOf('gifts.gift')!, data) as unknown as { event: { value: Record<string, unknown> } }).event
    .value;
  return gift;
}
