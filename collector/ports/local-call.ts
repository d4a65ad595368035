/**
 * One call of a gRPC service on a Unix socket. Only the few frames of HTTP/2 (RFC 9113) that it takes: Node's own client
 * would be a seventh of the memory that the whole agent may have, for two questions a minute. The header block of an
 * answer is not read: an answer without exactly one whole message is a refusal, whatever its words are.
 */
import { connect, type Socket } from 'node:net';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;
const STREAM = 1;
const HEAD_BYTES = 9;
/** The largest that a peer may send unless it was told otherwise. */
const MAX_FRAME_BYTES = 16_384;
/** Of an answer, and what the peer may send before it hears of us again. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const WINDOW_BYTES = MAX_MESSAGE_BYTES + MAX_FRAME_BYTES;
const MAX_FRAMES = 20_000;
/** Of all that it says: pieces of the answer keep what they came with in memory. */
const MAX_SAID_BYTES = 2 * MAX_MESSAGE_BYTES;
const CALL_MS = 5_000;
const PREFIX_BYTES = 5;

/** Of the service, or of the way to it; `code` where the system gives one, such as ENOENT. */
class CallError extends Error {
  readonly code: string | null;
  constructor(message: string, code: string | null = null) {
    super(message);
    this.name = 'CallError';
    this.code = code;
  }
}

/** Asks `method`, such as `/v1.PodResourcesLister/List`; the message that it answers. Throws `CallError`. */
export function callLocal(socketPath: string, method: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const answer = new Answer();
    const end = (error: Error | null): void => {
      clearTimeout(timer);
      socket.destroy();
      if (error !== null) reject(error);
      else
        try {
          resolve(answer.message());
        } catch (broken) {
          reject(broken instanceof CallError ? broken : new CallError(String(broken)));
        }
    };
    const timer = setTimeout(() => end(new CallError(`no answer within ${CALL_MS / 1000} s`)), CALL_MS);
    socket.on('connect', () => socket.write(requestOf(method, message)));
    socket.on('data', (bytes: Buffer) => {
      try {
        if (answer.take(bytes, socket)) end(null);
      } catch (error) {
        end(error instanceof Error ? error : new CallError(String(error)));
      }
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(new CallError(error.message, error.code ?? null)),
    );
    socket.on('close', () => end(new CallError('it closed the connection')));
  });
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const number32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const setting = (id: number, value: number): Buffer => Buffer.concat([Buffer.from([0, id]), number32(value)]);

function requestOf(method: string, message: Buffer): Buffer {
  const prefix = Buffer.concat([Buffer.from([0]), number32(message.length)]);
  return Buffer.concat([
    PREFACE,
    // No table of headers, no pushes, and room for the whole answer.
    frame(FRAME.settings, 0, 0, Buffer.concat([setting(1, 0), setting(2, 0), setting(4, WINDOW_BYTES)])),
    frame(FRAME.windowUpdate, 0, 0, number32(WINDOW_BYTES)),
    frame(FRAME.headers, FLAG.endHeaders, STREAM, headersOf(method)),
    frame(FRAME.data, FLAG.endStream, STREAM, Buffer.concat([prefix, message])),
  ]);
}

/** Header fields as plain literals (RFC 7541, 6.2.2); `:method POST` and `:scheme http` stand in its fixed table. */
function headersOf(method: string): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'latin1');
    if (bytes.length > 126) throw new CallError('the name of the method is too long');
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  };
  const field = (name: string, value: string): Buffer =>
    Buffer.concat([Buffer.from([0]), text(name), text(value)]);
  return Buffer.concat([
    Buffer.from([0x83, 0x86]),
    field(':path', method),
    field(':authority', 'localhost'),
    field('content-type', 'application/grpc'),
    field('te', 'trailers'),
    field('user-agent', 'gpuledger-agent'),
  ]);
}

class Answer {
  #rest: Buffer = Buffer.alloc(0);
  #said = 0;
  #frames = 0;
  #pieces: Buffer[] = [];
  #bytes = 0;

  /** Takes what came; true: the answer is whole. Throws `CallError`. */
  take(bytes: Buffer, socket: Pick<Socket, 'write'>): boolean {
    this.#said += bytes.length;
    if (this.#said > MAX_SAID_BYTES) throw new CallError('its answer has no end');
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (;;) {
      if (this.#rest.length < HEAD_BYTES) return false;
      const length = this.#rest.readUIntBE(0, 3);
      if (length > MAX_FRAME_BYTES) throw new CallError('it answers something else than HTTP/2');
      if (this.#rest.length < HEAD_BYTES + length) return false;
      const [type = 0, flags = 0] = this.#rest.subarray(3, 5);
      const stream = this.#rest.readUInt32BE(5) & 0x7fff_ffff;
      const payload = this.#rest.subarray(HEAD_BYTES, HEAD_BYTES + length);
      this.#rest = this.#rest.subarray(HEAD_BYTES + length);
      this.#frames += 1;
      if (this.#frames > MAX_FRAMES) throw new CallError('its answer has no end');
      if (this.#frame(type, flags, stream, payload, socket)) return true;
    }
  }

  #frame(
    type: number,
    flags: number,
    stream: number,
    payload: Buffer,
    socket: Pick<Socket, 'write'>,
  ): boolean {
    if (type === FRAME.settings && (flags & FLAG.ack) === 0)
      socket.write(frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0)));
    if (type === FRAME.ping && (flags & FLAG.ack) === 0)
      socket.write(frame(FRAME.ping, FLAG.ack, 0, payload));
    if (type === FRAME.goAway) throw new CallError('it refuses calls for now');
    if (stream !== STREAM) return false;
    if (type === FRAME.reset) throw new CallError('it refused the call');
    if (type === FRAME.data) this.#data(flags, payload);
    return (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0;
  }

  #data(flags: number, payload: Buffer): void {
    const padding = (flags & FLAG.padded) === 0 ? 0 : 1 + (payload[0] ?? 0);
    if (padding > payload.length) throw new CallError('it answers something else than HTTP/2');
    const piece = padding === 0 ? payload : payload.subarray(1, payload.length - padding + 1);
    this.#bytes += piece.length;
    if (this.#bytes > MAX_MESSAGE_BYTES) throw new CallError('its answer is too long');
    this.#pieces.push(piece);
  }

  message(): Buffer {
    const bytes = Buffer.concat(this.#pieces);
    if (bytes.length === 0) throw new CallError('it refused the call');
    if (
      bytes[0] !== 0 ||
      bytes.length < PREFIX_BYTES ||
      bytes.readUInt32BE(1) !== bytes.length - PREFIX_BYTES
    )
      throw new CallError('it answers something else than one message');
    return bytes.subarray(PREFIX_BYTES);
  }
}
