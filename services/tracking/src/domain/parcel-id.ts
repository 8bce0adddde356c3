/** The id of a parcel: of its carrier and tracking number, however they are spelled. */
import { hashOf } from '@caudal/kernel/ids.ts';

/** `DHL Express`, `dhl-express` and `DHL EXPRESS` are one carrier. */
export function carrierKey(carrier: string): string {
  const key = carrier
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '');
  // A name of nothing but punctuation is itself.
  return key === '' ? carrier : key;
}

/** `jd 0001 4600` and `JD00014600` are one number. */
export function numberKey(trackingNumber: string): string {
  return trackingNumber.normalize('NFKC').replace(/\s+/gu, '').toUpperCase();
}

/** A UUID, so that a database keeps it in 16 bytes. */
export function parcelId(carrier: string, trackingNumber: string): string {
  return uuidOf(hashOf([carrierKey(carrier), numberKey(trackingNumber)]));
}

/** The first 16 bytes, spelled as a UUID. */
export function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
