/** Reads a REST request: path, query, headers and body become the request message. */
import type { IncomingHttpHeaders } from 'node:http';
import type { HttpRule } from '@caudal/contract/http-rule.ts';
import type { RawBody } from '@caudal/contract/raw-body.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { boundsOf } from '../schema/bounds.ts';
import type { Endpoint } from '../server/endpoint.ts';
import { textBoundOf } from '../server/request-size.ts';
import { isKept } from './caching.ts';
import { parseJson } from './json-body.ts';
import { refusedConditions } from './preconditions.ts';
import { requestJson } from './rest-request.ts';
import { fieldNamed, type Json, jsonToBytes } from './transcode.ts';

/** A request as it was received. */
export interface RestRequest {
  /** The parameters of the path, by the names of the contract. */
  params: Record<string, string>;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

/** The request message. Throws INVALID_ARGUMENT, which names what has no place in it or is too much. */
export function decodeRest(
  { contract, definition, hasEtag }: Endpoint,
  rule: HttpRule,
  { params, url, headers, body }: RestRequest,
): unknown {
  const { request, access } = contract;
  const isRead = rule.method === 'GET';
  // Of a signed request only the body counts: headers are not signed.
  const isSigned = access.webhook !== undefined;
  const json = requestJson(request, rule.body, {
    params,
    query: queryOf(url),
    body: contract.rawBody
      ? rawParts(contract.rawBody, headers, body)
      : parseJson(body, boundsOf(request), textBoundOf(contract)),
    ifMatch: isRead || isSigned || !fieldNamed(request, 'etag') ? undefined : unquoted(headers['if-match']),
    refused: isSigned ? [] : refusedConditions(headers, { isRead, hasEtag: hasEtag || isKept(contract), request }),
  });
  return definition.requestDeserialize(Buffer.from(jsonToBytes(request, json)));
}

/** A body that stays as it was sent, and headers, as JSON of the request. */
function rawParts({ field, headers: taken }: RawBody, headers: IncomingHttpHeaders, body: Buffer): Json {
  const texts = taken.flatMap(({ name, field: of }) =>
    headers[name] === undefined ? [] : [[of, String(headers[name])]],
  );
  return { ...Object.fromEntries(texts), [field]: body.toString('base64') };
}

/** The query's parameters. Throws INVALID_ARGUMENT if one is not UTF-8: URLSearchParams would mend it without a word. */
function queryOf(url: string): URLSearchParams {
  const text = url.split('?').slice(1).join('?');
  for (const part of text.split('&')) {
    try {
      decodeURIComponent(part);
    } catch {
      const name = part.split('=')[0]!.slice(0, 100);
      throw new CaudalError(
        'INVALID_ARGUMENT',
        'MALFORMED_REQUEST',
        `The query has a text that is not UTF-8: ${name}.`,
      );
    }
  }
  return new URLSearchParams(text);
}

/** The etag without its quotes. Proxies that compress make it weak (`W/`), so both forms are accepted. */
export function unquoted(value: string | undefined): string | undefined {
  return value?.trim().replace(/^(?:W\/)?"(.*)"$/, '$1');
}
