/** Nodes and devices, and the list of what a site owns. */
import { z } from 'zod';
import {
  DeviceList,
  DevicesQuery,
  FleetIn,
  FleetResult,
  NodeList,
  NodesQuery,
} from '../../contract/fleet.ts';
import { FleetIntegrity, NodeDetail } from '../../contract/integrity.ts';
import { NodeKeyIn, NodeKeyList, NodeKeyOut, NodeKeyPath, NodeKeysQuery } from '../../contract/keys.ts';
import { Name } from '../../contract/primitives.ts';
import { NO_BODY, NO_PARAMS, NO_QUERY, type Route, route } from '../route.ts';
import type { Services } from '../services.ts';

const NodeName = z.object({ name: Name });
const BODY_LIMIT_BYTES = 16 * 1024 * 1024;
const KEY_LIMIT_BYTES = 1024;

export function fleetRoutes({ declarations, keys, queries }: Services): Route[] {
  return [
    route({
      id: 'listNodes',
      method: 'get',
      path: '/v1/nodes',
      tag: 'Fleet',
      summary: 'Nodes, their agents, and the last 24 hours',
      access: 'fleet:read',
      params: NO_PARAMS,
      query: NodesQuery,
      body: NO_BODY,
      answer: NodeList,
      answers: { 200: 'A page of nodes, by name' },
      handle: async ({ query }) => ({ json: await queries.nodes(query) }),
    }),
    route({
      id: 'getNode',
      method: 'get',
      path: '/v1/nodes/{name}',
      tag: 'Fleet',
      summary: 'One node, its agent, its machine, and what its GPUs are read with',
      access: 'fleet:read',
      params: NodeName,
      query: NO_QUERY,
      body: NO_BODY,
      answer: NodeDetail,
      answers: { 200: 'The node' },
      handle: async ({ params }) => ({ json: await queries.node(params.name) }),
    }),
    route({
      id: 'getIntegrity',
      method: 'get',
      path: '/v1/integrity',
      tag: 'Fleet',
      summary: 'The files through which GPUs are read, compared over the fleet',
      description:
        'Nodes with the same driver version should read their GPUs with the same nvidia-smi and libnvidia-ml. Names those that do not.',
      access: 'fleet:read',
      params: NO_PARAMS,
      query: NO_QUERY,
      body: NO_BODY,
      answer: FleetIntegrity,
      answers: { 200: 'What each driver version is read with, and who differs' },
      handle: async () => ({ json: await queries.integrity() }),
    }),
    route({
      id: 'listKeys',
      method: 'get',
      path: '/v1/keys',
      tag: 'Fleet',
      summary: 'The keys by which nodes sign',
      description:
        "A node's first key is taken on its word. Any other is an integrity finding until an administrator accepts it.",
      access: 'fleet:read',
      params: NO_PARAMS,
      query: NodeKeysQuery,
      body: NO_BODY,
      answer: NodeKeyList,
      answers: { 200: 'The keys, by node' },
      handle: async ({ query }) => ({ json: await keys.list(query.node ?? null, query.waiting === 'true') }),
    }),
    route({
      id: 'acceptKey',
      method: 'put',
      path: '/v1/nodes/{name}/keys/{key}',
      tag: 'Fleet',
      summary: 'Accept a key by which a node signs',
      access: 'fleet:write',
      bodyLimitBytes: KEY_LIMIT_BYTES,
      params: NodeKeyPath,
      query: NO_QUERY,
      body: NodeKeyIn,
      answer: NodeKeyOut,
      answers: { 200: 'The key' },
      handle: async ({ caller, params }) => ({ json: await keys.accept(caller, params.name, params.key) }),
    }),
    route({
      id: 'listDevices',
      method: 'get',
      path: '/v1/devices',
      tag: 'Fleet',
      summary: 'Devices',
      access: 'fleet:read',
      params: NO_PARAMS,
      query: DevicesQuery,
      body: NO_BODY,
      answer: DeviceList,
      answers: { 200: 'A page of devices, by node and index' },
      handle: async ({ query }) => ({ json: await queries.devices(query) }),
    }),
    route({
      id: 'putFleet',
      method: 'put',
      path: '/v1/fleet',
      tag: 'Fleet',
      summary: 'Import a fleet list',
      description:
        'Capacity opens at the stated times: a node that never enrolled is shown, not measured. `dryRun` only says what would change.',
      access: 'fleet:write',
      bodyLimitBytes: BODY_LIMIT_BYTES,
      params: NO_PARAMS,
      query: NO_QUERY,
      body: FleetIn,
      answer: FleetResult,
      answers: { 200: 'What changed, or would' },
      handle: async ({ caller, body }) => ({ json: await declarations.putFleet(caller, body) }),
    }),
  ];
}
