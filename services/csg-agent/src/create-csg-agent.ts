/** A member of the csg service with its heartbeat. */
import type { RunningService, ServiceParts } from "@hawser/service";
import { MemberBoard } from "@hawser/shards";
import { buckets, services } from "@hawser/wire";
import { CsgAgent } from "./csg-agent.ts";

export function createCsgAgent({ bus, catalog, member, config, logger }: ServiceParts): RunningService {
  const { heartbeatMs, selfMs, deadMs } = config.shards;
  const board = new MemberBoard({ bus, member, service: services.csg, heartbeatMs, selfMs, deadMs });
  const agent = new CsgAgent({ bus, board, member, catalog, config, log: logger });
  return {
    notReady: () => agent.notReady,
    async start() {
      await bus.ensureKv(buckets.gateways, { replicas: config.nats.replicas });
      board.start();
      await agent.start();
      board.setState("ready");
      catalog.onChange(() => board.setVersion("catalog", catalog.version));
      board.setVersion("catalog", catalog.version);
      return { rest: agent.rest.port };
    },
    async stop() {
      board.setState("draining");
      await agent.stop();
      board.stop();
    },
  };
}
