/** Reason codes of MQTT 5 (2.4) and return codes of CONNACK in 3.1 and 3.1.1 (3.2.2.3), by name. */

export const reasonCodes = {
  success: 0x00,
  grantedQos1: 0x01,
  grantedQos2: 0x02,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecificError: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierInUse: 0x91,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  useAnotherServer: 0x9c,
  serverMoved: 0x9d,
  sharedSubscriptionsNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
  maximumConnectTime: 0xa0,
  subscriptionIdentifiersNotSupported: 0xa1,
  wildcardSubscriptionsNotSupported: 0xa2,
} as const;

/** CONNACK of 3.1 and 3.1.1. */
export const returnCodes = {
  accepted: 0,
  unacceptableProtocolVersion: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badUserNameOrPassword: 4,
  notAuthorized: 5,
} as const;

/** SUBACK of 3.1.1 for a filter that is refused. */
export const SUBSCRIBE_FAILURE = 0x80;

const names = new Map<number, string>(Object.entries(reasonCodes).map(([name, code]) => [code, name]));

/** The name in words: `not authorized`. */
export function reasonCodeName(code: number): string {
  const name = names.get(code);
  return name === undefined ? `reason code 0x${code.toString(16).padStart(2, "0")}` : name.replaceAll(/[A-Z0-9]+/g, (part) => ` ${part.toLowerCase()}`);
}

/** Reason codes a DISCONNECT of a client may carry (3.14.2.1). */
const clientDisconnect: ReadonlySet<number> = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
]);

export function isClientDisconnectCode(code: number): boolean {
  return clientDisconnect.has(code);
}

/** Return code of a 3.x CONNACK that comes nearest to an MQTT 5 reason code. */
export function returnCodeFor(reasonCode: number): number {
  switch (reasonCode) {
    case reasonCodes.unsupportedProtocolVersion:
      return returnCodes.unacceptableProtocolVersion;
    case reasonCodes.clientIdentifierNotValid:
      return returnCodes.identifierRejected;
    case reasonCodes.badUserNameOrPassword:
    case reasonCodes.badAuthenticationMethod:
      return returnCodes.badUserNameOrPassword;
    case reasonCodes.notAuthorized:
    case reasonCodes.banned:
      return returnCodes.notAuthorized;
    default:
      return returnCodes.serverUnavailable;
  }
}
