/**
 * MQTT 5: control packets by mqtt-packet, behind our own strict checks (codec/). mqtt-packet groups
 * user properties by name and takes repeated single values for lists, so properties are always read
 * by our own codec.
 */
import mqttPacket, { type IConnackPacket, type IConnectPacket, type Packet } from "mqtt-packet";
import { forwardableProperties } from "../codec/properties.ts";
import { readProperties, type PropertyValues } from "../codec/property-values.ts";
import { packetProblems } from "../codec/packet-problem.ts";
import { reasonCodes } from "../reason-codes.ts";
import type { ConnectOutline } from "../codec/connect.ts";
import type { AuthInfo, CloseReason, ConnectAccept, ConnectPacketInfo, ConnectRefusal, MqttSettings, Qos } from "../types.ts";
import type { Dialect, DialectHost } from "./dialect.ts";

const RECEIVE_MAXIMUM = 65_535;
const OPTIONS = { protocolVersion: 5 };
const EMPTY = Buffer.alloc(0);

/** @returns null when mqtt-packet does not take what our checks let pass */
function parseConnect(bytes: Buffer): IConnectPacket | null {
  let result: IConnectPacket | null = null;
  const parser = mqttPacket.parser();
  parser.on("packet", (packet) => {
    if (packet.cmd === "connect") result = packet;
  });
  parser.on("error", () => {
    result = null;
  });
  parser.parse(bytes);
  return result;
}

function connectInfo(packet: IConnectPacket, outline: ConnectOutline): ConnectPacketInfo {
  const values: PropertyValues = outline.properties === null ? {} : readProperties(Buffer.from(outline.properties));
  const willBlock = outline.willProperties === null ? null : Buffer.from(outline.willProperties);
  return {
    level: 5,
    clientId: packet.clientId,
    cleanStart: packet.clean ?? false,
    keepAliveSeconds: packet.keepalive ?? 0,
    userName: packet.username ?? null,
    password: packet.password === undefined ? null : Buffer.from(packet.password),
    will:
      packet.will === undefined
        ? null
        : {
            topic: packet.will.topic,
            payload: Buffer.from(packet.will.payload as Buffer),
            qos: (packet.will.qos ?? 0) as Qos,
            retain: packet.will.retain ?? false,
            properties: forwardableProperties(willBlock),
            delaySeconds: (willBlock === null ? undefined : readProperties(willBlock).willDelayInterval) ?? 0,
          },
    sessionExpirySeconds: values.sessionExpiryInterval ?? 0,
    receiveMaximum: values.receiveMaximum ?? RECEIVE_MAXIMUM,
    maximumPacketBytes: values.maximumPacketSize ?? 0,
    topicAliasMaximum: values.topicAliasMaximum ?? 0,
    requestResponseInformation: values.requestResponseInformation === 1,
    requestProblemInformation: values.requestProblemInformation !== 0,
    userProperties: values.userProperties ?? [],
    authMethod: values.authenticationMethod ?? null,
    authData: values.authenticationData ?? null,
  };
}

/** Grouped by name, as mqtt-packet writes them. */
function grouped(pairs: readonly (readonly [string, string])[]): Record<string, string[]> {
  const result: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [name, value] of pairs) (result[name] ??= []).push(value);
  return result;
}

/** CONNACK of a refusal; also used before the CONNECT could be read in full. */
export function encodeConnackRefusal(refusal: Pick<ConnectRefusal, "reasonCode" | "reasonString" | "serverReference">): Buffer {
  const properties: NonNullable<IConnackPacket["properties"]> = {};
  if (refusal.reasonString !== undefined) properties.reasonString = refusal.reasonString;
  if (refusal.serverReference !== undefined) properties.serverReference = refusal.serverReference;
  return generate({ cmd: "connack", reasonCode: refusal.reasonCode, sessionPresent: false, properties });
}

export function encodeDisconnect(reason: CloseReason): Buffer {
  if (reason.reasonString === undefined && reason.serverReference === undefined) return Buffer.from([0xe0, 1, reason.reasonCode]);
  const properties: { reasonString?: string; serverReference?: string } = {};
  if (reason.reasonString !== undefined) properties.reasonString = reason.reasonString;
  if (reason.serverReference !== undefined) properties.serverReference = reason.serverReference;
  return generate({ cmd: "disconnect", reasonCode: reason.reasonCode, properties });
}

function generate(packet: Packet): Buffer {
  return mqttPacket.generate(packet, OPTIONS);
}

export class Mqtt5Dialect implements Dialect {
  readonly level = 5;
  readonly #host: DialectHost;
  readonly #settings: MqttSettings;
  #request: ConnectPacketInfo | null = null;

  constructor(host: DialectHost, settings: MqttSettings) {
    this.#host = host;
    this.#settings = settings;
  }

  connect(bytes: Buffer, outline: ConnectOutline): void {
    const packet = parseConnect(bytes);
    if (packet === null) {
      this.#host.failed(packetProblems.truncated);
      return;
    }
    this.#request = connectInfo(packet, outline);
    this.#host.connectRequested(this.#request);
  }

  accept(accept: ConnectAccept, receiveMaximum: number): void {
    const properties: NonNullable<IConnackPacket["properties"]> = {};
    if (accept.sessionExpirySeconds !== undefined) properties.sessionExpiryInterval = accept.sessionExpirySeconds;
    if (receiveMaximum < RECEIVE_MAXIMUM) properties.receiveMaximum = receiveMaximum;
    if (accept.retainAvailable === false) properties.retainAvailable = false;
    properties.maximumPacketSize = this.#settings.maxPacketBytes;
    if (accept.assignedClientId !== undefined) properties.assignedClientIdentifier = accept.assignedClientId;
    if (this.#settings.topicAliasMaximum > 0) properties.topicAliasMaximum = this.#settings.topicAliasMaximum;
    if (accept.wildcardSubscriptionAvailable === false) properties.wildcardSubscriptionAvailable = false;
    if (accept.subscriptionIdentifiersAvailable === false) properties.subscriptionIdentifiersAvailable = false;
    if (accept.sharedSubscriptionAvailable === false) properties.sharedSubscriptionAvailable = false;
    if (accept.serverKeepAliveSeconds !== undefined) properties.serverKeepAlive = accept.serverKeepAliveSeconds;
    if (accept.responseInformation !== undefined) properties.responseInformation = accept.responseInformation;
    if (accept.authMethod !== undefined) properties.authenticationMethod = accept.authMethod;
    if (accept.authData !== undefined) properties.authenticationData = accept.authData;
    const packet = { cmd: "connack", reasonCode: 0, sessionPresent: accept.sessionPresent, properties } as const;
    let connack = generate(packet);
    if (accept.userProperties !== undefined && accept.userProperties.length > 0) {
      const withUserProperties = generate({ ...packet, properties: { ...properties, userProperties: grouped(accept.userProperties) } });
      // [MQTT-3.2.2-20]
      if (this.#fits(withUserProperties)) connack = withUserProperties;
    }
    if (this.#fits(connack)) this.#host.accepted(connack);
    else this.#host.refused(null, { reason: "maximum packet size below CONNACK", reasonCode: reasonCodes.packetTooLarge });
  }

  refuse(refusal: ConnectRefusal): void {
    let connack = encodeConnackRefusal(refusal);
    // [MQTT-3.2.2-19]
    if (!this.#fits(connack)) connack = encodeConnackRefusal({ reasonCode: refusal.reasonCode });
    this.#host.refused(this.#fits(connack) ? connack : null, refusal);
  }

  suback(packetId: number, codes: readonly number[], reasonString: string | undefined): void {
    this.#sendAck({ cmd: "suback", messageId: packetId, granted: codes as number[] }, reasonString);
  }

  unsuback(packetId: number, codes: readonly number[], reasonString: string | undefined): void {
    this.#sendAck({ cmd: "unsuback", messageId: packetId, granted: codes as number[] }, reasonString);
  }

  #sendAck(packet: Packet, reasonString: string | undefined): void {
    // [MQTT-3.1.2-29]
    if (reasonString !== undefined && this.#request!.requestProblemInformation) {
      const bytes = generate({ ...packet, properties: { reasonString } } as Packet);
      if (this.#fits(bytes)) {
        this.#host.send(bytes);
        return;
      }
    }
    this.#host.send(generate(packet));
  }

  auth(info: AuthInfo): void {
    this.#host.send(
      generate({
        cmd: "auth",
        reasonCode: info.reasonCode,
        properties: { ...(info.method !== null && { authenticationMethod: info.method }), ...(info.data !== null && { authenticationData: info.data ?? EMPTY }) },
      }),
    );
  }

  disconnect(reason: CloseReason): Buffer | null {
    const bytes = encodeDisconnect(reason);
    if (this.#fits(bytes)) return bytes;
    const short = encodeDisconnect({ reasonCode: reason.reasonCode, reason: reason.reason });
    return this.#fits(short) ? short : null;
  }

  dispose(): void {
    // nothing is held
  }

  #fits(bytes: Buffer): boolean {
    const limit = this.#request?.maximumPacketBytes ?? 0;
    return limit === 0 || bytes.length <= limit;
  }
}
