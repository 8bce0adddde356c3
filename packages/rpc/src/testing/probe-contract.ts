/** The contract with the tests' own service added; see proto/caudal/probe/v1/probe.proto. */
import { readFileSync } from 'node:fs';
import { type Contract, load } from '@caudal/contract/descriptors.ts';

const read = (url: string) => readFileSync(new URL(url, import.meta.url));

/** Two concatenated sets of descriptors are one set in protobuf. */
export const probeContract = (): Contract =>
  load(Buffer.concat([read('../../../contract/src/gen/contract.binpb'), read('./gen/probe.binpb')]));
