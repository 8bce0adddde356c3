/** Bounds the large pages that anybody may read: so many are being answered at the same time. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { networkOf } from '../server/address.ts';
import type { Admission } from '../server/admission.ts';
import { busy } from '../server/places.ts';
import { openPool } from '../server/pool.ts';
import { whenAnswered } from './connection.ts';
import { addressIn } from './rest-route.ts';

/** Answers at the same time. An address gets half of them. */
const maxPages = 64;
const alpha = 1;

/** The options of a page's route. A request that is too much is refused with 429 SERVER_BUSY. */
export interface OpenPages {
  onRequest(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

export function openPages(admission: Admission): OpenPages {
  const pool = openPool(maxPages, alpha);
  return {
    async onRequest(request, reply) {
      const left = pool.take(networkOf(addressIn(request, admission)));
      if (!left) throw busy();
      whenAnswered(request, reply, left);
    },
  };
}
