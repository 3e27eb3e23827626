/** The hashes of a blob's pieces, as far as someone has answered for them, and who did. */
import { PIECE_HASH_BYTES, type PieceGeometry } from '../content/geometry.ts';
import type { PeerId } from '../swarm/member.ts';
import { fitsGeometry, statementCount, type Statement } from './statement.ts';

/** When the whole was false so often, nobody else is listened to any more; what this node reads itself decides. */
const MAX_RESTARTS = 2;

export class PieceMap {
  readonly #geometry: PieceGeometry;
  readonly #authors: (PeerId | undefined)[];
  readonly #hashes: Buffer;
  readonly #distrusted = new Set<PeerId>();
  #statements: Statement[] = [];
  /** By first piece: the one in use that begins there. */
  #byFirst = new Map<number, Statement>();
  #restartCount = 0;

  constructor(geometry: PieceGeometry) {
    this.#geometry = geometry;
    this.#authors = Array.from<PeerId | undefined>({ length: geometry.pieceCount });
    this.#hashes = Buffer.alloc(geometry.pieceCount * PIECE_HASH_BYTES);
  }

  /** All statements in use, in the order in which they came. */
  get statements(): readonly Statement[] {
    return this.#statements;
  }

  /** Peers that answered for some piece. */
  get authors(): ReadonlySet<PeerId> {
    return new Set(this.#statements.map((statement) => statement.author));
  }

  /** Begins anew, without these authors: the whole that came of their statements was false. */
  restart(distrusted: Iterable<PeerId>): void {
    this.clear();
    this.#restartCount += 1;
    for (const author of distrusted) this.#distrusted.add(author);
  }

  /** The expected hash, or undefined while nobody answered for the piece. */
  hash(piece: number): Buffer | undefined {
    if (this.#authors[piece] === undefined) return undefined;
    return this.#hashes.subarray(piece * PIECE_HASH_BYTES, (piece + 1) * PIECE_HASH_BYTES);
  }

  /** The statement in use that says word for word the same, if there is one: it need not be checked again. */
  find(statement: Statement): Statement | undefined {
    const known = this.#byFirst.get(statement.first);
    const isSame =
      known?.author === statement.author &&
      known.sizeBytes === statement.sizeBytes &&
      known.hashes.equals(statement.hashes);
    return isSame ? known : undefined;
  }

  /** True when a statement says of some piece something else than what is known here. */
  contradicts(statement: Statement): boolean {
    if (!fitsGeometry(statement, this.#geometry)) return true;
    const count = statementCount(statement);
    for (let index = 0; index < count; index += 1) {
      const known = this.hash(statement.first + index);
      const at = index * PIECE_HASH_BYTES;
      if (known?.equals(statement.hashes.subarray(at, at + PIECE_HASH_BYTES)) === false) return true;
    }
    return false;
  }

  /** True when a statement says something new; the others need not be checked. */
  isNews(statement: Statement): boolean {
    if (this.#restartCount >= MAX_RESTARTS) return false;
    if (!fitsGeometry(statement, this.#geometry) || this.#distrusted.has(statement.author)) return false;
    const end = statement.first + statementCount(statement);
    for (let piece = statement.first; piece < end; piece += 1) {
      if (this.#authors[piece] === undefined) return true;
    }
    return false;
  }

  /**
   * Takes an authentic statement. What another author has said before stands: the whole decides in the end who was right.
   * Answers the pieces whose hash became known.
   */
  add(statement: Statement): number[] {
    const learned: number[] = [];
    const end = statement.first + statementCount(statement);
    for (let piece = statement.first; piece < end; piece += 1) {
      if (this.#authors[piece] !== undefined) continue;
      const at = (piece - statement.first) * PIECE_HASH_BYTES;
      statement.hashes.copy(this.#hashes, piece * PIECE_HASH_BYTES, at, at + PIECE_HASH_BYTES);
      this.#authors[piece] = statement.author;
      learned.push(piece);
    }
    if (learned.length > 0) {
      this.#statements.push(statement);
      this.#byFirst.set(statement.first, statement);
    }
    return learned;
  }

  /** The statements in use that speak of some of these pieces. */
  statementsAbout(pieces: ReadonlySet<number>): Statement[] {
    return this.#statements.filter((statement) => {
      const end = statement.first + statementCount(statement);
      for (let piece = statement.first; piece < end; piece += 1) if (pieces.has(piece)) return true;
      return false;
    });
  }

  /** Forgets everything said, but not who is distrusted. */
  clear(): void {
    this.#statements = [];
    this.#byFirst = new Map();
    this.#authors.fill(undefined);
  }

  /** Replaces all statements by those of one author over the whole, once the whole is verified. */
  replaceAll(statements: readonly Statement[]): void {
    this.clear();
    for (const statement of statements) this.add(statement);
  }
}
