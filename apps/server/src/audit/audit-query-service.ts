/** Reads the audit log: caudal.audit.v1.AuditQueryService. */
import { findRecords } from '@caudal/audit/read.ts';
import { type AuditRecord, type Kind, kinds } from '@caudal/audit/types.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import { placeTokens } from '@caudal/context/place-token.ts';
import {
  AuditQueryServiceService,
  AuditRecord as AuditRecordMessage,
} from '@caudal/contract/gen/caudal/audit/v1/audit.ts';
import { itemsOfPage } from '@caudal/kernel/page-bytes.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { service } from '@caudal/rpc/types.ts';

/** The context whose query processes serve it: one of those that record acts. */
export const auditServedWith = 'payments';

/** By the numbers of caudal.audit.v1.AuditKind. */
const kindOf = (number: number): Kind | undefined => kinds[number - 1];

export function auditQueryService({ database }: { database: Transaction }) {
  return service(AuditQueryServiceService, {
    async listAuditRecords({ subject, method, resource, kind, startTime, endTime, pageSize, pageToken }) {
      const limit = pageLimit(pageSize);
      const tokens = placeTokens('audit records', { subject, method, resource, kind, startTime, endTime });
      const found = await findRecords(database, {
        subject: subject || undefined,
        method: method || undefined,
        resource: resource || undefined,
        kind: kindOf(kind),
        from: startTime,
        until: endTime,
        before: pageToken === '' ? undefined : Number(tokens.open(pageToken)),
        limit: limit + 1,
      });
      const messages = found.slice(0, limit).map(messageOf);
      const count = itemsOfPage(messages, (message) => AuditRecordMessage.encode(message).finish().length);
      const last = found[count - 1];
      return {
        auditRecords: messages.slice(0, count),
        nextPageToken: found.length > count && last ? tokens.seal(String(last.position)) : '',
      };
    },
  });
}

function messageOf(record: AuditRecord): AuditRecordMessage {
  const { position, kind, time, recordedAt, requestId: callId, count, hash, ...texts } = record;
  const { subject, credential, address, method, resource, outcome, reason, wrote, writer } = texts;
  return {
    position: BigInt(position),
    kind: (kinds.indexOf(kind) + 1) as AuditRecordMessage['kind'],
    time,
    recordTime: recordedAt,
    ...{ subject, credential, address, callId, method, resource, outcome, reason, wrote, writer },
    count: BigInt(count),
    hash: hash.toString('hex'),
  };
}
