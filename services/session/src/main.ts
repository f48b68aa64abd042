/** Wiring of the session service: settings in, signals out. */
import { Bus } from "@hawser/bus";
import { CatalogReader } from "@hawser/catalog";
import { bootName, loadConfig } from "@hawser/config";
import { errorLine } from "@hawser/errors";
import { startHealth } from "@hawser/health";
import { ensureLog, LogWriter } from "@hawser/log";
import { ensureLayout, MemberBoard, ShardKeeper } from "@hawser/shards";
import { createLogger, enableProcessMetrics, metricsRegistry, startTelemetry, stopTelemetry } from "@hawser/telemetry";
import { services } from "@hawser/wire";
import { hostname } from "node:os";
import { SessionService } from "./session-service.ts";
