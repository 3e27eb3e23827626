/** Time, as a dependency: tests put their own in its place. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number;
}
