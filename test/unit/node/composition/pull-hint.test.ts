import { expect, test } from 'vitest';
import { pullHint } from '../../../../node/composition/pull-hint.ts';

test('the hint fits the upstream where names without a host go', () => {
  expect(pullHint('127.0.0.1:5000', 'docker.io')).toBe('docker pull 127.0.0.1:5000/library/alpine');
  expect(pullHint('127.0.0.1:5000', 'quay.io')).toBe('docker pull 127.0.0.1:5000/podman/hello');
  expect(pullHint('127.0.0.1:6000', 'r.lan')).toBe('docker pull 127.0.0.1:6000/REPOSITORY:TAG (an image of r.lan)');
});
