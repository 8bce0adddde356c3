import { CaudalError } from '@caudal/kernel/errors.ts';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fromStatus, toClientError, toStatus } from './errors.ts';
import { reasons } from './reasons.ts';
import { httpStatus, toProblem } from './rest/problem.ts';
import { decodeConsistency, encodeConsistency, readWritten, writtenText } from './server/consistency-token.ts';

const travel = (error: CaudalError) => fromStatus(toStatus(error, new Metadata()) as unknown as ServiceError, 'peer');

describe('errors', () => {
  test('survive the way to a status and back', () => {
    const error = new CaudalError('FAILED_PRECONDITION', 'STOCK_MISSING', 'Only 3 left – "ö".', {
      violations: [{ field: 'lines[0].quantity', description: 'must be at most 3' }],
      retryAfterMs: 1234,
      metadata: { available: '3' },
    });
    const { code, reason, message, violations, retryAfterMs, metadata } = travel(error);
    expect({ code, reason, message, violations, retryAfterMs, metadata }).toEqual({
      code: error.code,
      reason: error.reason,
      message: error.message,
      violations: error.violations,
      retryAfterMs: 1234,
      metadata: error.metadata,
    });
  });

  test('that are bugs show nothing of their cause', () => {
    const error = toClientError(new Error('password=x'));
    expect([error.code, error.message]).toEqual(['INTERNAL', 'Something went wrong on our side.']);
    expect(JSON.stringify(toProblem(error, 'r'))).not.toContain('password');
    expect(toStatus(error, new Metadata()).metadata.toHttp2Headers()['grpc-status-details-bin']).toBeDefined();
    expect(travel(error).message).not.toContain('password');
  });

  test('with very long or malformed texts are still sent', () => {
    expect(travel(new CaudalError('NOT_FOUND', 'X', `${'x'.repeat(100_000)}`)).message.length).toBeLessThan(1_100);
    expect(travel(new CaudalError('NOT_FOUND', 'X', 'half \ud800 pair')).reason).toBe('X');
  });

  test('stay small, even if they repeat what the client sent', () => {
    const long = 'x\ud800'.repeat(1_000_000);
    const violation = { field: `attributes.${long}`, description: `"${long}" is none of title` };
    const error = new CaudalError('INVALID_ARGUMENT', 'INVALID_FIELD', long, {
      violations: Array(1_000).fill(violation),
      metadata: { order: long },
    });
    const problem = toProblem(error, 'r');
    expect(JSON.stringify(problem).length).toBeLessThan(200_000);
    expect(problem.violations).toHaveLength(50);
    const { metadata } = toStatus(error, new Metadata());
    expect((metadata.get('grpc-status-details-bin')[0] as Buffer).length).toBeLessThanOrEqual(4_096);
    expect(travel(error).reason).toBe('INVALID_FIELD');
  });

  test('have an HTTP status for every reason', () => {
    for (const [reason, { code }] of Object.entries(reasons))
      expect(httpStatus(new CaudalError(code, reason, ''))).toBeGreaterThanOrEqual(400);
  });
});

describe('the consistency token', () => {
  test('survives encoding and decoding, for any name of a stream', () => {
    const written = [
      { stream: 'orders.order/o-1', version: 1 },
      { stream: 'inventory.stock/85123A', version: 2 ** 31 - 1 },
      { stream: 'inventory.stock/85123B', version: 7, epoch: 1_764_000_000_000 },
    ];
    const token = encodeConsistency(written)!;
    expect(decodeConsistency(token)).toEqual(written);
    expect(readWritten(writtenText(written)!)).toEqual(written);
    expect(Buffer.from(token, 'base64url').toString()).not.toMatch(/orders|stock|85123/);
    expect(encodeConsistency([])).toBeUndefined();
    expect(decodeConsistency(undefined)).toEqual([]);
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.jsonValue(), fc.array(fc.tuple(fc.constant('a.b/c'), fc.double()))),
        (content) => {
          const token = Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)).toString(
            'base64url',
          );
          try {
            for (const { version } of decodeConsistency(token)) expect(Number.isInteger(version)).toBe(true);
          } catch (error) {
            expect(error).toMatchObject({ reason: 'INVALID_CONSISTENCY_TOKEN' });
          }
        },
      ),
    );
  });

  test('is refused if it has a version that no stream can have, or an epoch that no log can have', () => {
    const versions = [0, 1.5, 2 ** 31, Number.MAX_SAFE_INTEGER].map((version) => [version]);
    const epochs = [0, -1, 1.5, '7', null, 2 ** 53].map((epoch) => [1, epoch]);
    for (const rest of [...versions, ...epochs, [1, 1, 1]]) {
      const token = Buffer.from(JSON.stringify([['orders.order/o-1', ...rest]])).toString('base64url');
      expect(() => decodeConsistency(token)).toThrow("not one of Caudal's");
    }
  });

  test('of version 0.2, which anyone can make, is ignored; one that was changed is refused', () => {
    const former = Buffer.from('[["orders.order/o-1",7],["inventory.stock/p",1,5]]').toString('base64url');
    expect(decodeConsistency(former)).toEqual([]);
    const token = encodeConsistency([{ stream: 'orders.order/o-1', version: 7 }])!;
    const outer = JSON.parse(Buffer.from(token, 'base64url').toString()) as [string, number][];
    const encode = (content: unknown) => Buffer.from(JSON.stringify(content)).toString('base64url');
    expect(encode(outer)).toBe(token);
    const [[name]] = outer as [[string, number]];
    const forged: unknown[] = [
      [[name, 2]],
      [[name, 1, 1]],
      [...outer, ['caudal.sealed/A', 1]],
      [[`${name.slice(0, -1)}${name.endsWith('A') ? 'B' : 'A'}`, 1]],
      [['caudal.sealed/AAAA', 1]],
      [[`caudal.sealed/${'A'.repeat(100)}`, 1]],
    ];
    for (const content of forged) {
      expect(() => decodeConsistency(encode(content))).toThrow("not one of Caudal's");
      // Of no use to a command.
      expect(decodeConsistency(encode(content), false)).toEqual([]);
    }
  });

  test('is written so that version 0.2 takes it for streams that it has no view of', () => {
    const written = Array.from({ length: 50 }, (_, n) => ({
      stream: `inventory.stock/${'x'.repeat(30)}${n}`,
      version: 1,
    }));
    const outer: unknown = JSON.parse(Buffer.from(encodeConsistency(written)!, 'base64url').toString());
    // The rules of 0.2.
    expect((outer as unknown[]).length).toBeLessThanOrEqual(50);
    for (const [stream, version] of outer as [string, number][]) {
      expect(stream).toMatch(/^[a-z]+\.[a-z_]+\/[\x21-\x7e]{1,200}$/);
      expect(version).toBe(1);
    }
  });

  test('fits into a header, for any number of written streams', () => {
    const written = Array.from({ length: 1000 }, (_, n) => ({
      stream: `inventory.stock/${'x'.repeat(60)}${n}`,
      version: n + 1,
      epoch: 1_764_000_000_000,
    }));
    const token = encodeConsistency(written)!;
    // Proxies take 4 KiB at least of an answer's headers.
    expect(token.length).toBeLessThanOrEqual(4_096);
    expect(decodeConsistency(token)[0]).toEqual(written[0]);
    const short = written.map(({ version }) => ({ stream: `inventory.stock/P-${version}`, version }));
    expect(decodeConsistency(encodeConsistency(short))).toEqual(short.slice(0, 50));
    const longest = { stream: `customers.customer/${'x'.repeat(200)}`, version: 2 ** 31 - 1, epoch: 2 ** 53 - 1 };
    expect(decodeConsistency(encodeConsistency([longest]))).toEqual([longest]);
  });
});
