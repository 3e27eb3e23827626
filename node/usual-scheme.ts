/** How a registry is spoken to when nobody said. On this machine plain HTTP is no risk, and what is tried out there has no certificate. */
export function usualScheme(host: string): 'http' | 'https' {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(host) ? 'http' : 'https';
}
