/**
 * The MQTT 5 properties of a PUBLISH that mean something to its receiver [MQTT-3.3.2-4 .. -20], in
 * a form of their own: the property block on the wire is libs/mqtt's.
 */
export interface MqttProperties {
  /** Payload Format Indicator: 1 = UTF-8. */
  readonly payloadFormat?: number;
  /** Message Expiry Interval, as the publisher gave it. */
  readonly expirySeconds?: number;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Buffer;
  /** In the publisher's order, keys may repeat. */
  readonly userProperties?: readonly (readonly [key: string, value: string])[];
}
