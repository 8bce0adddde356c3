/** Pages of the audit log. packages/audit tests what is read, cli-audit.test.ts the whole. */
import { bodyOf } from '@caudal/audit/body.ts';
import { emptyEntry } from '@caudal/audit/types.ts';
import { type AuditQueryServiceService, ListAuditRecordsRequest } from '@caudal/contract/gen/caudal/audit/v1/audit.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { testCall } from '@caudal/testing/call.ts';
import { expect, test } from '@jest/globals';
import { auditQueryService } from './audit-query-service.ts';

/** A database with so many records of the largest size, the newest first. */
function databaseOf(count: number): Transaction {
  const text = '\u6f22'.repeat(300);
  const texts = { subject: text, credential: text, address: text, requestId: text, method: text, resource: text };
  const entry = { ...emptyEntry, ...texts, kind: 'ACT', outcome: text, reason: text, wrote: text } as const;
  const body = bodyOf({ ...entry, time: new Date(0), count: 1 });
  const common = {
    recordedAt: new Date(0),
    kind: 'ACT',
    subject: '',
    method: '',
    resource: '',
    writer: 'w',
    place: 'p',
  };
  const rows = Array.from({ length: count }, (_, n) => ({
    ...common,
    position: count - n,
    body,
    hash: Buffer.alloc(32),
  }));
  return {
    async query({ text: sql, values = [] }: { text: string; values?: unknown[] }) {
      const before = /position </.test(sql) ? (values[0] as number) : Number.POSITIVE_INFINITY;
      return rows.filter(({ position }) => position < before).slice(0, values.at(-1) as number);
    },
  } as unknown as Transaction;
}

test('a page ends early where its bytes are many, and the next one goes on behind it', async () => {
  const { listAuditRecords } = auditQueryService({ database: databaseOf(400) }).handlers as unknown as Handlers<
    typeof AuditQueryServiceService
  >;
  const seen: number[] = [];
  const sizes: number[] = [];
  let pageToken = '';
  do {
    const request = ListAuditRecordsRequest.fromPartial({ pageSize: 100, pageToken });
    const page = await listAuditRecords(request, testCall());
    sizes.push(page.auditRecords.length);
    seen.push(...page.auditRecords.map(({ position }) => Number(position)));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(seen).toEqual(Array.from({ length: 400 }, (_, n) => 400 - n));
  expect(Math.max(...sizes)).toBeGreaterThan(50);
  expect(Math.max(...sizes)).toBeLessThan(100);
});
