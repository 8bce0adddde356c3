/** The setting of where old months are kept. */
import { isAbsolute } from 'node:path';

export type ArchivePlace = { kind: 's3'; bucket: string; prefix: string } | { kind: 'folder'; folder: string };

export const archivePlaceExpects = 's3://BUCKET/PREFIX, or the absolute path of a folder';

/** Throws an Error that says what is wrong. */
export function parseArchivePlace(text: string): ArchivePlace {
  if (isAbsolute(text)) return { kind: 'folder', folder: text };
  const [, bucket, prefix = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text) ?? [];
  if (!bucket) throw new Error(`"${text}" is not ${archivePlaceExpects}`);
  return { kind: 's3', bucket, prefix: prefix.replace(/^\/+|\/+$/g, '') };
}
