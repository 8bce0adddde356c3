/** For tests: a bucket of its own on the real server. */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { newId } from '@caudal/kernel/ids.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import type { S3Options } from '../s3-store.ts';

/** Makes a bucket. Returns the options of a store in it. */
export async function freshBucket(endpoint = serverUrl('s3')): Promise<S3Options> {
  const options = {
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test-secret' },
  };
  const bucket = `test-${newId()}`;
  const client = new S3Client({ ...options, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { ...options, bucket, prefix: 'logs' };
}
