/** Answers of the contract that are pages: `caudal.type.v1.Page`, and what is refused to a browser that asks for one. */
import { createHash } from 'node:crypto';
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Problem } from './problem.ts';
import { addVary } from './vary.ts';

/** Nothing runs and nothing is loaded; of styles, the page's own. `styleHash`: SHA-256 in base64. */
function policyOf(styleHash: string): string {
  const style = /^[A-Za-z0-9+/]{43}=$/.test(styleHash) ? `'sha256-${styleHash}'` : "'none'";
  return `default-src 'none'; style-src ${style}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}

export const pageType = 'text/html; charset=utf-8';

/** The headers of a page. Who has a link has it for himself, so search engines must not keep what is behind it. */
export function pageHeaders(styleHash: string): Record<string, string> {
  return {
    'content-security-policy': policyOf(styleHash),
    'x-robots-tag': 'noindex, nofollow, noarchive',
  };
}

const style = `
    :root { color-scheme: light dark }
    body { font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
  `;
const styleHash = createHash('sha256').update(style).digest('base64');

const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string) => text.replace(/[&<>"']/g, (sign) => names[sign]!);

const errorPage = ({ title, detail }: Problem) => `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="robots" content="noindex">
  <title>${escaped(title)}</title>
  <style>${style}</style>
  <main>
    <h1>${escaped(title)}</h1>
    <p>${escaped(detail)}</p>
  </main>
</html>
`;

/**
 * The problem as a page, for a browser that has asked for a page; else undefined. Programs, which do not name HTML among what they accept,
 * get what they get from all methods.
 */
export function problemPage(
  { page }: MethodContract,
  request: FastifyRequest,
  reply: FastifyReply,
  problem: Problem,
): string | undefined {
  if (!page) return undefined;
  addVary(reply, 'accept');
  if (!/\btext\/html\b/i.test(request.headers.accept ?? '')) return undefined;
  reply.headers(pageHeaders(styleHash)).type(pageType);
  return errorPage(problem);
}
