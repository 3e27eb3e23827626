/** A node process on loopback whose holdings are watched. */
import { join } from 'node:path';
import { NodeProcess } from '../support/node-process.ts';
import { withCollector, type WatchedNode } from './leak-watch.ts';

export class LoopbackNode implements WatchedNode {
  readonly name: string;
  readonly process: NodeProcess;
  readonly data: string;

  private constructor(name: string, process: NodeProcess, data: string) {
    this.name = name;
    this.process = process;
    this.data = data;
  }

  /** Starts a node and waits until it is ready. @param folder holds its data folder */
  static async start(folder: string, name: string, args: readonly string[]): Promise<LoopbackNode> {
    const data = join(folder, name);
    return new LoopbackNode(
      name,
      await withCollector(async () => await NodeProcess.start(['--data', data, ...args])),
      data,
    );
  }

  get pid(): number {
    return this.process.child.pid ?? 0;
  }

  get facadePort(): number {
    return Number(this.process.facade.split(':')[1]);
  }

  async page(name: string): Promise<string> {
    return await (await fetch(`http://${this.process.admin}/${name}`)).text();
  }
}
