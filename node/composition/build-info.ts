/** The metric that says which version runs. */
import { Gauge } from 'prom-client';

/** `dockyard_build_info{version="…",node="…"} 1`; registered by the caller. */
export function buildInfo(version: string): Gauge<'version' | 'node'> {
  const gauge = new Gauge({
    name: 'dockyard_build_info',
    help: 'Always 1; the labels say which version of Dockyard runs on which version of Node.',
    labelNames: ['version', 'node'],
    registers: [],
  });
  gauge.set({ version, node: process.versions.node }, 1);
  return gauge;
}
