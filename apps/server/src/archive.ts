/** The archive of old months, if the settings name one. */
import { openFolderStore } from '@caudal/archive-store/folder-store.ts';
import { type Archive, openArchive } from '@caudal/eventlog/archive/archive.ts';
import type { RuntimeValues } from './settings/settings.ts';

/** Connects at first use. The caller closes its store. */
export async function openArchiveOf(values: RuntimeValues): Promise<Archive | undefined> {
  const place = values.CAUDAL_ARCHIVE;
  if (!place) return undefined;
  if (place.kind === 'folder' && values.DATABASE_URL)
    throw new Error(
      'CAUDAL_ARCHIVE: a folder is only for an embedded PostgreSQL, since all processes must see the same archive. Use s3://BUCKET/PREFIX.',
    );
  if (place.kind === 'folder') return openArchive(openFolderStore(place.folder));
  // Loaded only if configured: it takes memory.
  const { openS3Store } = await import('@caudal/archive-store/s3-store.ts');
  const { CAUDAL_ARCHIVE_ACCESS_KEY_ID: accessKeyId, CAUDAL_ARCHIVE_SECRET_ACCESS_KEY: secretAccessKey } = values;
  const store = openS3Store({
    bucket: place.bucket,
    prefix: place.prefix,
    region: values.CAUDAL_ARCHIVE_REGION,
    ...(values.CAUDAL_ARCHIVE_ENDPOINT && { endpoint: values.CAUDAL_ARCHIVE_ENDPOINT }),
    ...(accessKeyId && secretAccessKey && { credentials: { accessKeyId, secretAccessKey } }),
  });
  return openArchive(store);
}
