/**
 * Sees to it that so many nodes hold an image, this one included. The others are those closest to its digest, so that the same
 * nodes are asked each time, by whichever seed, and few move when nodes come and go.
 */
import { asError } from '../oci/error.ts';
import { rankHomes } from '../swarm/home.ts';
import type { Member, MemberDirectory } from '../swarm/member.ts';
import type { Preheat, PreheatImage } from './preheat.ts';

export interface CopiesDeps {
  readonly preheat: Pick<Preheat, 'isHeld' | 'run'>;
  readonly members: Pick<MemberDirectory, 'alive' | 'self'>;
  /** A node could not be asked, or could not fetch it. */
  readonly onFailure: (peerId: string, error: Error) => void;
}

/** So many nodes are looked at for each copy that is wanted: some may be down or full. */
const CANDIDATES_PER_COPY = 2;

/**
 * Counts the nodes that hold an image, and has further ones fetch it where they are too few.
 * @param wanted copies, that of this node included
 * @returns the copies that there are then
 */
export async function ensureCopies(
  deps: CopiesDeps,
  image: PreheatImage,
  wanted: number,
  options: { readonly signal: AbortSignal },
): Promise<number> {
  const { members, preheat, onFailure } = deps;
  const all = members.alive();
  const ranked = rankHomes(image.digest, all, wanted * CANDIDATES_PER_COPY + 1);
  const others = ranked.filter(({ peerId }) => peerId !== members.self.peerId);
  let copies = 1;
  const lacking: Member[] = [];
  for (const node of others) {
    if (copies >= wanted) return copies;
    try {
      if (await preheat.isHeld(image, node, options)) copies += 1;
      else lacking.push(node);
    } catch (thrown) {
      options.signal.throwIfAborted();
      onFailure(node.peerId, asError(thrown));
    }
  }
  while (copies < wanted && lacking.length > 0) {
    for await (const { peerId, state, message } of preheat.run(image, lacking.splice(0, wanted - copies), options)) {
      if (state === 'done') copies += 1;
      else if (state === 'failed') onFailure(peerId, new Error(message ?? 'it did not say why'));
    }
  }
  return copies;
}
