/** A receiving service that answers as the contract says, stores nothing, and counts what arrives. */
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';

const Batches = z.object({
  batches: z.array(z.looseObject({ body: z.looseObject({ seq: z.int() }) })),
});

/** As the service keeps them. */
const KEEP_ALIVE_MS = 75_000;

interface Received {
  readonly requests: number;
  readonly batches: number;
  /** Requests with their headers, both ways. */
  readonly wireBytes: number;
  /** The batches as the agent's spool holds them, one JSON file each. */
  readonly batchBytes: number;
}

export interface Receiver {
  readonly url: string;
  received(): Received;
  stop(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const sockets = new Set<Socket>();
  let closedBytes = 0;
  let requests = 0;
  let batches = 0;
  let batchBytes = 0;
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    const parsed = Batches.parse(JSON.parse(text.toString('utf8')));
    requests += 1;
    batches += parsed.batches.length;
    for (const batch of parsed.batches) batchBytes += Buffer.byteLength(JSON.stringify(batch));
    const results = parsed.batches.map(({ body: { seq } }) => ({ seq, status: 'stored', message: null }));
    // Without batches it is asked for the time.
    const expectedSeq = Math.max(0, ...results.map(({ seq }) => seq)) + 1;
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ results, expectedSeq, serviceTimeMs: Date.now() }));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      closedBytes += socket.bytesRead + socket.bytesWritten;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the receiver has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    received() {
      let openBytes = 0;
      for (const socket of sockets) openBytes += socket.bytesRead + socket.bytesWritten;
      return { requests, batches, wireBytes: closedBytes + openBytes, batchBytes };
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
