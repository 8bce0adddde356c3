/** The comments of .proto files, by the descriptor that they precede. */
import type { Message } from '@bufbuild/protobuf';
import type {
  DescriptorProto,
  EnumDescriptorProto,
  FileDescriptorProto,
  FileDescriptorSet,
} from '@bufbuild/protobuf/wkt';

/**
 * The leading comments of messages, fields, enums, values, services and methods. The source info has a path of field
 * numbers and indexes for each (google/protobuf/descriptor.proto, SourceCodeInfo.Location.path).
 */
export function commentsOf(files: FileDescriptorSet): Map<Message, string> {
  const comments = new Map<Message, string>();
  for (const file of files.file) collect(file, comments);
  return comments;
}

function collect(file: FileDescriptorProto, comments: Map<Message, string>): void {
  const byPath = new Map<string, string>();
  for (const { path, leadingComments } of file.sourceCodeInfo?.location ?? []) {
    if (leadingComments) byPath.set(path.join('.'), tidy(leadingComments));
  }
  const note = (descriptor: Message, path: string) => {
    const comment = byPath.get(path);
    if (comment) comments.set(descriptor, comment);
  };
  const inEnum = (descriptor: EnumDescriptorProto, path: string) => {
    note(descriptor, path);
    descriptor.value.forEach((value, index) => {
      note(value, `${path}.2.${index}`);
    });
  };
  const inMessage = (descriptor: DescriptorProto, path: string) => {
    note(descriptor, path);
    descriptor.field.forEach((field, index) => {
      note(field, `${path}.2.${index}`);
    });
    descriptor.nestedType.forEach((nested, index) => {
      inMessage(nested, `${path}.3.${index}`);
    });
    descriptor.enumType.forEach((nested, index) => {
      inEnum(nested, `${path}.4.${index}`);
    });
  };
  file.messageType.forEach((message, index) => {
    inMessage(message, `4.${index}`);
  });
  file.enumType.forEach((type, index) => {
    inEnum(type, `5.${index}`);
  });
  file.service.forEach((service, index) => {
    note(service, `6.${index}`);
    service.method.forEach((method, at) => {
      note(method, `6.${index}.2.${at}`);
    });
  });
}

/** Removes the space after `//`, which is part of each line. */
const tidy = (comment: string) =>
  comment
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .trim();
