/**
 * What the distribution specification demands of a registry, from the outside: the checks of its own suites, which are Go
 * programs, for machines without Go. Data and ways of pushing have the names that they have there.
 * @see OCI distribution-spec v1.1 and its draft; scripts/conformance
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DIGEST_ALGORITHMS, type DigestAlgorithm } from '../../src/oci/digest.ts';
import { describeBlobs } from './distribution/blob-checks.ts';
import { describeManifests } from './distribution/manifest-checks.ts';
import { RegistryClient } from './distribution/registry-client.ts';
import type { Registry } from './distribution/registry-under-test.ts';

/** A registry that runs, and how it is ended. */
export interface RunningRegistry extends AsyncDisposable {
  /** `http://127.0.0.1:5000` */
  readonly url: string;
}

/**
 * Declares the checks for a registry that takes pushes and deletions under any name.
 * @param algorithms by which blobs are named; default: all
 */
export function describeDistribution(
  title: string,
  open: () => Promise<RunningRegistry>,
  algorithms: readonly DigestAlgorithm[] = Object.keys(DIGEST_ALGORITHMS) as DigestAlgorithm[],
): void {
  describe(`the distribution specification holds for ${title}`, () => {
    let running: RunningRegistry;
    let client: RegistryClient;
    beforeAll(async () => {
      running = await open();
      client = new RegistryClient(running.url);
    });
    afterAll(async () => await running?.[Symbol.asyncDispose]());

    const registry = (room: string) => (): Registry => ({
      client,
      repository: `conformance/${room}/one`,
      otherRepository: `conformance/${room}/two`,
    });

    test('it says that it is there', async () => {
      expect((await client.send('GET', '/v2/')).status).toBe(200);
    });

    describe.each(algorithms)('blobs of %s', (algorithm) => {
      describeBlobs(registry(algorithm), algorithm);
    });

    describe('manifests', () => {
      describeManifests(registry('manifests'));
    });
  });
}
