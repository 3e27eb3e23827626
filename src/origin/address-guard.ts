/** Whose host is whose: what the owner of one may be given by another. */
import { isIP } from 'node:net';
import { DOMAIN_SUFFIXES } from './domain-suffixes.ts';

/**
 * The part of a host name under which one owner stands: `docker.io` for `registry-1.docker.io`. `undefined` for IP
 * addresses, single labels and public suffixes, which stand for nobody but themselves.
 */
export function registrableDomain(host: string): string | undefined {
  if (isIP(host) !== 0) return undefined;
  const labels = host.split('.');
  for (let index = 1; index < labels.length; index += 1) {
    const suffix = labels.slice(index).join('.');
    if (isPublicSuffix(suffix)) return labels.slice(index - 1).join('.');
  }
  return undefined;
}

/** Second-level labels under which countries register: `co.uk`, `com.au`. */
const GENERIC_SECOND_LEVELS = /^(?:ac|co|com|edu|gob|gouv|go|gov|gv|id|ltd|mil|ne|net|nom|or|org|plc|sch)$/;

function isPublicSuffix(suffix: string): boolean {
  if (DOMAIN_SUFFIXES.has(suffix)) return true;
  const labels = suffix.split('.');
  if (labels.length === 1) return true;
  const [second = '', top = ''] = labels;
  return labels.length === 2 && top.length === 2 && GENERIC_SECOND_LEVELS.test(second);
}

/** True when two hosts are the same or stand under one registrable domain. */
export function isSameSite(hostA: string, hostB: string): boolean {
  if (hostA === hostB) return true;
  const domain = registrableDomain(hostA);
  return domain !== undefined && domain === registrableDomain(hostB);
}
