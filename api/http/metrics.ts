/** Prometheus metrics. Labels never name a job, a process or a person: their number would grow without bound. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { BatchStatus } from '../contract/batch.ts';
import type { Queries } from '../services/queries/queries.ts';
import type { Installation } from './services.ts';

export interface Metrics {
  countBatch(status: BatchStatus | 'refused'): void;
  /** Asks the ledger and answers the text format. */
  render(): Promise<{ readonly contentType: string; readonly text: string }>;
}

function createGauges(registers: [Registry]) {
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `gpuledger_${name}`, help, labelNames, registers });
  return {
    build: gauge('build_info', 'Version of the service; always 1.', ['version']),
    month: gauge(
      'month_gpu_seconds',
      'GPU time of the current UTC month so far, by what happened. The buckets of a model add up to its capacity.',
      ['model', 'bucket'],
    ),
    findings: gauge('findings', 'Findings that have not been resolved by later records.', [
      'state',
      'severity',
      'mode',
      'running',
    ]),
    findingSeconds: gauge(
      'finding_active_gpu_seconds',
      'Executing GPU time of findings that have not been resolved.',
      ['state', 'severity', 'mode', 'running'],
    ),
    agentAge: gauge('agent_last_heard_age_seconds', 'Time since the agent of a node was last heard.', [
      'node',
    ]),
    agentSilent: gauge('agent_silent', '1 where the agent of a node is silent: its time is not measured.', [
      'node',
    ]),
    sourceLag: gauge('source_lag_seconds', 'How far the record of a source of declarations is behind.', [
      'source',
      'instance',
    ]),
    sourceFailing: gauge(
      'source_failing',
      '1 where a source fails, or its runner is silent; absent where nobody runs it.',
      ['source', 'instance'],
    ),
    sourceSuspect: gauge(
      'source_suspect_nodes',
      'Nodes that were used without a job since the record of a source stopped, where they are several.',
      ['source', 'instance'],
    ),
    sourceProblems: gauge('source_problems', 'What a source could not use, of the last hour.', [
      'source',
      'instance',
    ]),
    conflicts: gauge(
      'conflicting_claims',
      'Jobs that claim a device now that others claim too, beyond what their shares leave room for.',
    ),
    dirty: gauge('attribution_backlog', 'Node-hours that wait to be attributed.'),
    completeTo: gauge(
      'complete_to_timestamp_seconds',
      'Every node is booked up to here; absent before the first.',
      ['cluster'],
    ),
    memory: gauge('process_resident_memory_bytes', 'Resident memory of the service.'),
  };
}

export function createMetrics(queries: Queries, installation: Installation): Metrics {
  const registry = new Registry();
  const gauges = createGauges([registry]);
  const batches = new Counter({
    name: 'gpuledger_batches_total',
    help: 'Batches received, by what became of them.',
    labelNames: ['status'],
    registers: [registry],
  });
  for (const status of ['stored', 'duplicate', 'quarantined', 'out_of_order', 'refused'])
    batches.inc({ status }, 0);
  return {
    countBatch: (status) => batches.inc({ status }),
    async render() {
      const now = await queries.metrics();
      for (const gauge of Object.values(gauges)) gauge.reset();
      gauges.build.set({ version: installation.version }, 1);
      for (const { model, bucket, ms } of now.month) gauges.month.set({ model, bucket }, ms / 1000);
      for (const { state, severity, mode, running, count, activeMs } of now.findings) {
        const labels = { state, severity, mode, running: String(running) };
        gauges.findings.set(labels, count);
        gauges.findingSeconds.set(labels, activeMs / 1000);
      }
      for (const { node, lastHeardAgeMs, silent } of now.agents) {
        gauges.agentAge.set({ node }, lastHeardAgeMs / 1000);
        gauges.agentSilent.set({ node }, silent ? 1 : 0);
      }
      for (const { source, instance, lagMs } of now.sources)
        gauges.sourceLag.set({ source, instance }, lagMs / 1000);
      for (const { source, instance, failing, problems } of now.runners) {
        gauges.sourceFailing.set({ source, instance }, failing ? 1 : 0);
        gauges.sourceProblems.set({ source, instance }, problems);
      }
      for (const { source, instance, nodes } of now.suspects)
        gauges.sourceSuspect.set({ source, instance }, nodes);
      gauges.conflicts.set(now.conflictingClaims);
      gauges.dirty.set(now.dirtyNodeHours);
      if (now.completeToMs !== null)
        gauges.completeTo.set({ cluster: installation.cluster }, now.completeToMs / 1000);
      gauges.memory.set(process.memoryUsage.rss());
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
