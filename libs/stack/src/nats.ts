/** The part of libs/stack that a test of a lib needs: a nats-server, and nothing that depends on the rest of Hawser. */
export { closed, freePort, isPortFree, tryListen } from "./free-port.ts";
export { natsServerBinary } from "./nats-binary.ts";
export { renderNatsConfig } from "./nats-config.ts";
export { guardChild } from "./process-guard.ts";
