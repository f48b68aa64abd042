/** Why a packet cannot be taken: what MQTT 5 tells the client, and a short constant for counters and logs. */
export interface PacketProblem {
  /** 0x81 malformed packet, 0x82 protocol error, or a more exact code. */
  readonly reasonCode: number;
  readonly reason: string;
}

function malformed(reason: string): PacketProblem {
  return { reasonCode: 0x81, reason };
}

function protocolError(reason: string): PacketProblem {
  return { reasonCode: 0x82, reason };
}

export const packetProblems = {
  truncated: malformed("truncated packet"),
  trailing: malformed("bytes behind the end of the packet"),
  length: malformed("remaining length"),
  flags: malformed("reserved flags"),
  qos3: malformed("QoS 3"),
  dupQos0: malformed("DUP with QoS 0"),
  text: malformed("UTF-8 string"),
  packetIdZero: protocolError("packet id 0"),
  propertyBlock: malformed("property block"),
  propertyUnknown: malformed("unknown property"),
  propertyPlace: malformed("property not allowed in this packet"),
  propertyTwice: protocolError("property given twice"),
  propertyValue: protocolError("property value"),
  topicEmpty: protocolError("empty topic"),
  topicAlias: { reasonCode: 0x94, reason: "topic alias" },
  retainNotSupported: { reasonCode: 0x9a, reason: "retain where it is not available" },
  topicAliasUnknown: protocolError("topic alias not set"),
  responseTopic: protocolError("response topic with a wildcard"),
  reasonCode: malformed("reason code"),
  noFilters: protocolError("no topic filters"),
  subscribeOptions: malformed("subscription options"),
  retainHandling: protocolError("retain handling"),
  noLocalShared: protocolError("no local on a shared subscription"),
  protocolName: { reasonCode: 0x84, reason: "protocol name" },
  protocolLevel: { reasonCode: 0x84, reason: "protocol level" },
  connectFlags: malformed("connect flags"),
  willFlags: malformed("will flags"),
  willTopic: malformed("will topic"),
  willTopicWildcard: { reasonCode: 0x90, reason: "will topic with a wildcard" },
  passwordWithoutUser: malformed("password without user name"),
  authDataWithoutMethod: protocolError("authentication data without method"),
  packetType: protocolError("packet type"),
  secondConnect: protocolError("second CONNECT"),
  sessionExpiry: protocolError("session expiry raised from 0"),
  authNotExpected: protocolError("AUTH not expected"),
  authMethod: protocolError("authentication method changed"),
  pubrelEarly: protocolError("PUBREL before PUBREC"),
  ackMismatch: protocolError("acknowledgement does not fit the QoS"),
  receiveMaximum: { reasonCode: 0x93, reason: "receive maximum exceeded" },
  tooManyOpenIds: { reasonCode: 0x93, reason: "too many QoS 2 packet ids open" },
} as const satisfies Record<string, PacketProblem>;
