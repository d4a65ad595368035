/**
 * A kubelet's PodResources API on a real socket, by a gRPC server that is not ours, with messages encoded here after
 * its api.proto.
 */
import { Server, ServerCredentials, status } from '@grpc/grpc-js';

interface KubeletContainer {
  readonly name: string;
  readonly devices?: readonly { readonly resource: string; readonly ids: readonly string[] }[];
  readonly dynamic?: readonly { readonly driver?: string; readonly device?: string; readonly cdi?: string }[];
}
export interface KubeletPod {
  readonly namespace: string;
  readonly name: string;
  readonly containers: readonly KubeletContainer[];
}

const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) | 0x80);
    left = Math.floor(left / 0x80);
  }
  return Buffer.from([...bytes, left]);
};
const field = (number: number, value: Buffer | string): Buffer => {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
};
const numberField = (number: number, value: number): Buffer =>
  Buffer.concat([varint(number * 8), varint(value)]);
const message = (...fields: Buffer[]): Buffer => Buffer.concat(fields);

const devicesMessage = ({ resource, ids }: { resource: string; ids: readonly string[] }): Buffer =>
  message(
    field(1, resource),
    ...ids.map((id) => field(2, id)),
    // The NUMA nodes, which nobody here asks for.
    field(3, message(field(1, numberField(1, 1)))),
  );

export const listMessage = (pods: readonly KubeletPod[]): Buffer =>
  message(
    ...pods.map((pod) =>
      field(
        1,
        message(
          field(1, pod.name),
          field(2, pod.namespace),
          ...pod.containers.map((container) =>
            field(
              3,
              message(
                field(1, container.name),
                ...(container.devices ?? []).map((devices) => field(2, devicesMessage(devices))),
                numberField(3, 17),
                ...(container.dynamic ?? []).map(({ driver, device, cdi }) =>
                  field(
                    5,
                    message(
                      field(2, 'claim'),
                      field(3, pod.namespace),
                      field(
                        4,
                        message(
                          ...(cdi === undefined ? [] : [field(1, field(1, cdi))]),
                          ...(driver === undefined ? [] : [field(2, driver), field(3, 'pool')]),
                          ...(device === undefined ? [] : [field(4, device)]),
                        ),
                      ),
                    ),
                  ),
                ),
              ),
            ),
          ),
        ),
      ),
    ),
  );

const plain = (path: string) => ({
  path,
  requestStream: false as const,
  responseStream: false as const,
  requestSerialize: (bytes: Buffer) => bytes,
  requestDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (bytes: Buffer) => bytes,
  responseDeserialize: (bytes: Buffer) => bytes,
});

export class FakeKubelet {
  pods: readonly KubeletPod[] = [];
  /** Devices that it could give; null: it is too old to say. */
  allocatable: readonly { readonly resource: string; readonly ids: readonly string[] }[] | null = [];
  /** What it answers in the place of its pods. */
  raw: Buffer | null = null;
  /** Calls are refused with this status. */
  refusal: number | null = null;
  asked = 0;
  readonly #server = new Server();

  async start(socketPath: string): Promise<void> {
    this.#server.addService(
      {
        List: plain('/v1.PodResourcesLister/List'),
        All: plain('/v1.PodResourcesLister/GetAllocatableResources'),
      },
      {
        List: (_call: unknown, answer: (error: object | null, bytes?: Buffer) => void) => {
          this.asked += 1;
          if (this.refusal !== null) answer({ code: this.refusal, details: 'refused' });
          else answer(null, this.raw ?? listMessage(this.pods));
        },
        All: (_call: unknown, answer: (error: object | null, bytes?: Buffer) => void) => {
          if (this.allocatable === null) answer({ code: status.UNIMPLEMENTED, details: 'disabled' });
          else answer(null, message(...this.allocatable.map((devices) => field(1, devicesMessage(devices)))));
        },
      },
    );
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}
