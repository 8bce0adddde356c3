/** Whether a certificate has a name: letter by letter, so that a wildcard of the same authority has none. */
import type { PeerCertificate } from 'node:tls';

/** Only DNS names of its subjectAltName count. */
export function hasName({ subjectaltname }: Pick<PeerCertificate, 'subjectaltname'>, name: string): boolean {
  return (subjectaltname ?? '').toLowerCase().split(', ').includes(`dns:${name.toLowerCase()}`);
}
