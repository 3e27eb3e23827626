/** What goes wrong in a simulation: the home ends, a holder falls silent, nodes come and go. */
import type { SimJourney } from './sim-journey.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

/** The swarm knows of a node that has ended, or that is silent, after about so long. */
const KNOWN_DEAD_AFTER_MS = 1000;
const KNOWN_SILENT_AFTER_MS = 5000;
/** For so many times the bound nodes come and go. */
const CHURN_BOUNDS = 2;
const CHURN_STEP_MS = 200;

export class Faults {
  readonly #simulation: Simulation;
  #homeKilledAtMs: number | undefined;
  #holderStoppedAtMs: number | undefined;
  #newcomers = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** Nodes that will come instead of others. */
  get newcomerCount(): number {
    const { scenario } = this.#simulation;
    return scenario.churnPerSecond === 0 ? 0 : this.#churnSteps * this.#churnNodes;
  }

  get #churnSteps(): number {
    return Math.ceil((this.#simulation.boundMs * CHURN_BOUNDS) / CHURN_STEP_MS);
  }

  /** Nodes that are replaced at each step. */
  get #churnNodes(): number {
    const { nodes, churnPerSecond } = this.#simulation.scenario;
    return Math.max(1, Math.round((nodes * churnPerSecond * CHURN_STEP_MS) / 1000));
  }

  schedule(): void {
    if (this.#simulation.scenario.churnPerSecond === 0) return;
    for (let step = 1; step <= this.#churnSteps; step += 1) {
      this.#simulation.events.call(step * CHURN_STEP_MS, () => this.#replaceSome());
    }
  }

  /** A node has one more piece: this may be the moment for its fault. */
  onHeld(journey: SimJourney): void {
    const { killHomeAt, stopHolderAt } = this.#simulation.scenario;
    if (killHomeAt === 0 && stopHolderAt === 0) return;
    const share = journey.held.count / journey.geometry.pieceCount;
    const { node } = journey;
    const isHome = this.#simulation.homes(journey.digest, new Set())[0] === node;
    const nowMs = this.#simulation.nowMs();
    if (isHome && killHomeAt > 0 && share >= killHomeAt && this.#homeKilledAtMs === undefined) {
      this.#homeKilledAtMs = nowMs;
      this.#simulation.events.call(nowMs, () => this.#simulation.kill(node, KNOWN_DEAD_AFTER_MS));
    } else if (!isHome && stopHolderAt > 0 && share >= stopHolderAt && this.#holderStoppedAtMs === undefined) {
      this.#holderStoppedAtMs = nowMs;
      this.#simulation.events.call(nowMs, () => this.#simulation.stop(node, KNOWN_SILENT_AFTER_MS));
    }
  }

  /** Some nodes end, whoever they are, and as many new ones come. */
  #replaceSome(): void {
    const { nodes, random, scenario } = this.#simulation;
    for (let left = this.#churnNodes; left > 0; left -= 1) {
      const index = Math.floor(random() * nodes.length);
      const leaving = nodes[index];
      if (leaving?.isAlive !== true) continue;
      this.#simulation.kill(leaving, KNOWN_DEAD_AFTER_MS);
      const coming = nodes[scenario.nodes + scenario.lateNodes + this.#newcomers];
      this.#newcomers += 1;
      if (coming !== undefined) this.#comes(coming);
    }
  }

  #comes(node: SimNode): void {
    this.#simulation.expect();
    this.#simulation.join(node);
    this.#simulation.ask(node);
  }
}
