import { Metadata } from '@grpc/grpc-js';
import { afterEach, expect, jest, test } from '@jest/globals';
import { takeGrpcLog } from './grpc-log.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

test('the values of headers that grpc-js leaves out are not logged', () => {
  const shown = jest.spyOn(console, 'error').mockImplementation(() => {});
  const written = jest.spyOn(process.stderr, 'write').mockImplementation(() => true);
  takeGrpcLog();
  const metadata = Metadata.fromHttp2Headers({ authorization: 'Bearer sécret', 'x-request-id': 'r-1' });
  expect(metadata.getMap()).toEqual({ 'x-request-id': 'r-1' });
  expect(shown).not.toHaveBeenCalled();
  expect(written).not.toHaveBeenCalled();
});
