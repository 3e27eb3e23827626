/**
 * The search for nodes on the local network, by multicast DNS. Every question is answered by every node to all nodes, so they
 * are asked seldom: at start, and when the membership says so, which sees to it that a swarm asks no more often than a node.
 */
import type { PeerDiscovery, Startable } from '@libp2p/interface';
import { mdns, type MulticastDNSComponents } from '@libp2p/mdns';

/** Longer than any node runs: the library asks at start, and then not by itself. The longest time a timer knows. */
const NEVER_MS = 2 ** 31 - 1;

export class NearbySearch {
  readonly #serviceTag: string;
  #service: (PeerDiscovery & Startable) | undefined;
  #isAsking = false;

  /** @param serviceTag nodes with another one do not see each other */
  constructor(serviceTag: string) {
    this.#serviceTag = serviceTag;
  }

  /** What a libp2p host is given to start and stop. */
  service(): (components: MulticastDNSComponents) => PeerDiscovery {
    return (components) => {
      const service: PeerDiscovery & Partial<Startable> = mdns({ serviceTag: this.#serviceTag, interval: NEVER_MS })(
        components,
      );
      if (isStartable(service)) this.#service = service;
      return service;
    };
  }

  /** Asks once more, unless the host is not running or a question is being sent. */
  async ask(): Promise<void> {
    const service = this.#service;
    if (service === undefined || this.#isAsking || !(service as { isStarted?(): boolean }).isStarted?.()) return;
    this.#isAsking = true;
    try {
      await service.stop();
      await service.start();
    } finally {
      this.#isAsking = false;
    }
  }
}

function isStartable(service: PeerDiscovery & Partial<Startable>): service is PeerDiscovery & Startable {
  return service.start !== undefined && service.stop !== undefined;
}
