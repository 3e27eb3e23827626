import { openTestSeed } from '../unit/seed/seed-fixture.ts';
import { describeDistribution } from './distribution.ts';

describeDistribution('a seed in memory', async () => {
  const seed = await openTestSeed({ policy: { names: ['**'] } });
  return { url: `http://127.0.0.1:${seed.port}`, [Symbol.asyncDispose]: async () => await seed[Symbol.asyncDispose]() };
});
