/** The codes of the swarm layer. */
import { DockyardError, type ErrorDescription, type ErrorDetails } from '../oci/error.ts';

export const SWARM_ERRORS = {
  ERR_SWARM_KEY_INVALID: {
    meaning: 'The swarm key file is missing, unreadable or not in the form of a libp2p pre-shared key.',
    remedy: 'Make one with `dockyard key > swarm.key`, and give every node of the swarm the same file.',
  },
  ERR_SWARM_OPEN: {
    meaning: 'The node was told to listen beyond loopback without a swarm key.',
    remedy: 'Give a key with `--swarm-key FILE`, or set `swarm.open` when anyone who reaches the port may join.',
  },
  ERR_IDENTITY_INVALID: {
    meaning: 'The identity file of this node cannot be read or is damaged.',
    remedy: 'Restore `identity.key` in the data folder, or remove it: the node then gets a new identity.',
  },
  ERR_SWARM_IDENTITY_TWICE: {
    meaning:
      'Two nodes have the same identity, as when a disk image was copied with the data folder: the others mix them up.',
    remedy: 'On one of the two stop the node, remove `identity.key` in its data folder, and start it again.',
  },
  ERR_SWARM_LISTEN: {
    meaning: 'The swarm address or its data port cannot be listened on.',
    remedy: 'Free the port, or choose another with `--swarm HOST:PORT` or `--swarm-data HOST:PORT`.',
  },
  ERR_SWARM_ADDRESS_INVALID: {
    meaning: 'An address of the swarm is not of the form HOST:PORT.',
    remedy: 'Write `name:5002`, `192.0.2.1:5002` or `[2001:db8::1]:5002`.',
  },
  ERR_SWARM_UNREACHABLE: {
    meaning: 'A bootstrap address cannot be resolved, or nothing answers there, or not in time.',
    remedy: 'Check the address, name resolution and firewalls; the node goes on trying.',
  },
  ERR_SWARM_KEY_MISMATCH: {
    meaning:
      'A bootstrap address accepts connections, but the handshake fails: it has another swarm key, or is no node, or does not answer.',
    remedy:
      'Give all nodes the same swarm key file; check that the port is the swarm port of a node, that the node there is not stopped or overloaded, and the MTU on the way.',
  },
  ERR_MEMBERS_PROTOCOL: {
    meaning: 'A peer sent a membership message that is malformed, too large, or wrongly signed.',
    remedy: 'Run the same version on all nodes; the message was dropped.',
  },
  ERR_TRACKER_FAILED: {
    meaning: 'A tracker cannot be reached, refused an announce, or answered with something unreadable.',
    remedy: 'Check the tracker URL and that the tracker runs; holders are found without it too.',
  },
  ERR_LINK_FAILED: {
    meaning: 'A peer could not be reached, or the connection to it broke.',
    remedy: 'Nothing to do for a single peer: others are asked. If all fail, check the data port in firewalls.',
  },
  ERR_LINK_REFUSED: {
    meaning: 'A peer did not prove that it holds the swarm key, or that it is who it says.',
    remedy: 'Give all nodes the same swarm key; look for foreign software on the data port.',
  },
  ERR_LINK_PROTOCOL: {
    meaning: 'A peer broke the protocol between nodes.',
    remedy: 'Run the same version on all nodes; a peer that repeats it is banned for a time.',
  },
  ERR_LINK_TIMEOUT: {
    meaning: 'A peer did not answer in time.',
    remedy: 'Nothing to do for a single peer: others are asked.',
  },
} as const satisfies Record<string, ErrorDescription>;

export type SwarmErrorCode = keyof typeof SWARM_ERRORS;

/** Makes an error of this layer. */
export function swarmError(
  code: SwarmErrorCode,
  message: string,
  options: { cause?: unknown; details?: ErrorDetails } = {},
): DockyardError<SwarmErrorCode> {
  return new DockyardError(code, message, options);
}
