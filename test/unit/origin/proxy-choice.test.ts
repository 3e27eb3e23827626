import { describe, expect, test } from 'vitest';
import { proxyFor } from '../../../src/origin/proxy-choice.ts';

const PROXY = { httpProxy: 'http://proxy:3128', httpsProxy: 'http://secure:3128' };

function choose(url: string, noProxy: string): string | undefined {
  return proxyFor(new URL(url), { ...PROXY, noProxy });
}

describe('the proxy for a URL', () => {
  test('follows its scheme', () => {
    expect(choose('http://a.test/', '')).toBe('http://proxy:3128');
    expect(choose('https://a.test/', '')).toBe('http://secure:3128');
  });

  test('is none when none is configured for the scheme', () => {
    expect(proxyFor(new URL('https://a.test/'), { ...PROXY, httpsProxy: '', noProxy: '' })).toBeUndefined();
  });

  test.each([
    ['https://a.test/', '*'],
    ['https://a.test/', 'b.test, a.test'],
    ['https://sub.a.test/', 'a.test'],
    ['https://sub.a.test/', '.a.test'],
    ['https://sub.a.test/', '*.a.test'],
    ['https://a.test:5000/', 'a.test:5000'],
    ['https://a.test/', 'a.test:443'],
    ['https://10.1.2.3/', '10.0.0.0/8'],
    ['https://10.1.2.3/', '10.1.2.3'],
    ['https://[fd00::5]/', 'fd00::/8'],
    ['https://[::1]:5000/', '[::1]:5000'],
    ['https://A.TEST/', 'a.Test'],
  ])('%s goes directly with NO_PROXY=%s', (url, noProxy) => {
    expect(choose(url, noProxy)).toBeUndefined();
  });

  test.each([
    ['https://a.test/', 'b.test'],
    ['https://nota.test/', 'a.test'],
    ['https://a.test/', '*.a.test'],
    ['https://a.test:5001/', 'a.test:5000'],
    ['https://11.1.2.3/', '10.0.0.0/8'],
    ['https://a.test/', '10.0.0.0/8, , nonsense/99'],
    ['https://110.1.2.3/', '10.1.2.3'],
  ])('%s goes by the proxy with NO_PROXY=%s', (url, noProxy) => {
    expect(choose(url, noProxy)).toBe('http://secure:3128');
  });
});
