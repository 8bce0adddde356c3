import { describe, expect, test } from '@jest/globals';
import { redactUrl, withoutSecrets } from './redact.ts';

describe('a URL is shown without', () => {
  test.each([
    // Credentials.
    ['postgres://caudal:s3cret@db:5432/caudal', 'postgres://caudal:***@db:5432/caudal'],
    ['redis://s3cret@cache:6379', 'redis://***@cache:6379'],
    ['redis://:s3cret@cache:6379/0', 'redis://:***@cache:6379/0'],
    ['redis://s3cret:@cache', 'redis://***@cache'],
    ['https://ghp0a1b2c3d4e5f6g7h8i9:x-oauth-basic@git.example', 'https://***@git.example'],
    ['amqp://caudal:s3@cret@mq/orders', 'amqp://caudal:***@mq/orders'],
    ['amqp://caudal:s3/c?r#et@mq', 'amqp://caudal:***@mq'],
    ['redis://s3/cret@cache', 'redis://***@cache'],
    ['mongodb://caudal:s3cret@a:27017,b:27017/?replicaSet=rs0', 'mongodb://caudal:***@a:27017,b:27017/?replicaSet=rs0'],
    ['http://elastic:s3cret@a:9200,http://elastic:s3cret@b:9200', 'http://elastic:***@b:9200'],
    ['http://a:9200,http://s3cret@b:9200', 'http://a:***@b:9200'],
    // Parameters.
    ['https://s3.example/b?signature=s3cret', 'https://s3.example/b?signature=***'],
    [
      'https://s3.example/b?X-Amz-Credential=s3cret&X-Amz-Signature=s3cret',
      'https://s3.example/b?X-Amz-Credential=***&X-Amz-Signature=***',
    ],
    ['https://blob.example/c?sv=2024&sig=s3cret', 'https://blob.example/c?sv=***&sig=***'],
    ['https://otlp.example/?code=s3cret;auth=s3cret', 'https://otlp.example/?code=***;auth=***'],
    ['https://otlp.example/?%73ig=s3cret', 'https://otlp.example/?***=***'],
    ['https://hook.example/?s3cret0a1b2c3d4e5f6g7h8', 'https://hook.example/?***'],
    ['https://hook.example/?s3cret', 'https://hook.example/?***'],
    ['https://hook.example/#s3cret', 'https://hook.example/#***'],
    ['redis://s3cret%40@[::1]:6379', 'redis://***@[::1]:6379'],
    ['mongodb+srv://caudal:s3cret@cluster.example', 'mongodb+srv://caudal:***@cluster.example'],
    [
      'mongodb://a/?tls=true&tlsCertificateKeyFilePassword=s3cret',
      'mongodb://a/?tls=true&tlsCertificateKeyFilePassword=***',
    ],
    // Tokens in paths.
    ['https://hook.example/services/T00/s3cret0a1b2c3d4e5f6g7h8', 'https://hook.example/services/T00/***'],
  ])('what may be a secret: %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
    expect(redactUrl(url)).not.toMatch(/s3(?!\.example)/);
  });
});

describe('a URL is shown with', () => {
  test.each([
    'postgres://db.internal:5432/caudal?sslmode=verify-full&application_name=shop',
    'amqps://mq:5671/orders?heartbeat=10',
    'smtp://mail:587?requireTLS=true',
    'https://issuer.example/.well-known/jwks.json',
    's3://bucket/caudal/logs',
    'dns:///caudal-{context}-command:9090',
    'no URL at all',
  ])('what is harmless: %s', (url) => expect(redactUrl(url)).toBe(url));
});

test('every URL of a text is shown so, and the rest of it as it is', () => {
  expect(
    withoutSecrets('connect redis://s3cret@cache:1 failed (https://u:s3cret@b/?t=s3cret), twice: a@b.example'),
  ).toBe('connect redis://***@cache:1 failed (https://u:***@b/?t=***), twice: a@b.example');
  expect(withoutSecrets('caudal:s3cret@db:5432/x and postgres:/caudal:s3cret@db')).toBe(
    '***@db:5432/x and postgres:/***@db',
  );
  expect(withoutSecrets('host=db password=s3cret eyJhbGciOiJ.eyJzdWIi.c2ln')).toBe('host=db password=*** ***');
  const stack = 'at f (file:///app/node_modules/@grpc/grpc-js/build/src/call.js:1:2)';
  expect(withoutSecrets(stack)).toBe(stack);
});

test('a long text takes no time', () => {
  const began = performance.now();
  for (const part of ['a', 'a.', 'https://', 'x://', ')x', 'a:', 'a@', 'a:b@', 'eyJ', 'https://a?b=c&', 'sig=', '=:@/'])
    withoutSecrets(part.repeat(100_000 / part.length));
  expect(performance.now() - began).toBeLessThan(2_000);
});
