/**
 * COPY ... FROM STDIN with node-postgres, which leaves it to the queries that it is given. pg-copy-streams does the same behind a stream;
 * here the rows are in memory.
 */
import type { Client, Connection } from 'pg';

/** The part of pg's connection for COPY, which its types leave out. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

/** Sends all chunks: rows in the text format, of the statement `COPY table FROM STDIN`. Resolves after its commit. */
export function copyIn(client: Client, text: string, chunks: Iterable<Buffer>): Promise<void> {
  return new Promise((resolve, reject) => {
    let isComplete = false;
    client.query({
      submit(connection: Connection) {
        connection.query(text);
      },
      handleCopyInResponse(connection: CopyConnection) {
        try {
          for (const chunk of chunks) connection.sendCopyFromChunk(chunk);
          connection.endCopyFrom();
        } catch (error) {
          connection.sendCopyFail((error as Error).message);
        }
      },
      handleCommandComplete() {
        isComplete = true;
      },
      handleReadyForQuery() {
        if (isComplete) resolve();
      },
      handleError: reject,
    });
  });
}
