import { type DestinationStream, type Logger as PinoLogger, pino } from "pino";

export type Logger = PinoLogger;

/** Where secrets could stand in a logged object, at the top and one level down. */
const SECRET_KEYS = ["password", "accessKeySecret", "secretKey", "secret", "token", "restToken", "authorization"];

/**
 * JSON lines on stdout: `time`, `level`, `service`, `member`, `msg` and what the call gives:
 * `logger.warn({reason, clientId}, "publish refused")`. Secrets are replaced.
 * @param destination for tests
 */
export function createLogger(service: string, member: string, level: string, destination?: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { service, member },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`]), censor: "***" },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}
