/** The catalogue the tests of this library start from. */
import { parse } from "yaml";

export const exampleYaml = `
instances:
  - id: default
    profile: product
    csg: {group: GID_gateway, up: csgUp, down: csgDown}
    groups: [GID_demo, GID_gateway, GID_quiet]
    parents: [demo, room, csgUp, csgDown, quiet, both]
    rules:
      - {id: demo-out, kind: outbound, parent: demo, topic: demo}
      - {id: demo-audit, kind: outbound, parent: demo, topic: audit, p2p: true, qos0: true, order: client}
      - {id: room-out, kind: outbound, parent: room, topic: room, p2p: true}
      - {id: both-out, kind: outbound, parent: both, topic: both}
      - {id: demo-in, kind: inbound, topic: demo-down, consumerGroup: hawser-demo-down, parent: demo}
      - {id: demo-status, kind: status, group: GID_demo, topic: mqtt-status}
      - {id: gw-status, kind: status, group: GID_gateway, topic: mqtt-status, cluster: second}
      - {id: csg-up, kind: actor, parent: csgUp, service: csg}
      - {id: both-actor, kind: actor, parent: both, service: rooms, live: true}
      - {id: csg-cmd, kind: inbound, topic: csg-cmd, consumerGroup: hawser-csg-cmd, service: csg, deviceProperty: device_id, groupProperty: group_id, group: GID_gateway}
    credentials:
      - {accessKeyId: AK, accessKeySecret: XXXXX, groups: [GID_demo]}
      - {accessKeyId: ROOT, accessKeySecret: YYYYY, groups: ["*"]}
  - id: open
    profile: plain
    rules:
      - {id: open-out, kind: outbound, parent: any, topic: any}
`;

/** A fresh document, as YAML gives it: change it, then validate. */
export function exampleDocument(): any {
  return parse(exampleYaml);
}
