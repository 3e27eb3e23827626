/** The log of a process: on standard error, JSON for machines or coloured lines for people. */
import { pino, stdTimeFunctions, type Logger } from 'pino';
import pretty from 'pino-pretty';

const STANDARD_ERROR = 2;

/** What may hold credentials never gets into a log, whoever puts it into a field. */
const REDACTED = ['authorization', 'password', 'token', '*.authorization', '*.password', '*.token', 'headers.cookie'];

/** Makes the log. It writes at once, so that nothing is lost when the process dies. */
export function createLog(config: { readonly level: string; readonly format: 'json' | 'pretty' }): Logger {
  const options = { level: config.level, base: {}, timestamp: stdTimeFunctions.isoTime, redact: REDACTED };
  if (config.format === 'json') return pino(options, pino.destination({ fd: STANDARD_ERROR, sync: true }));
  return pino(
    options,
    pretty({
      destination: STANDARD_ERROR,
      sync: true,
      ignore: 'component',
      messageFormat: '{if component}{component}: {end}{msg}',
    }),
  );
}
