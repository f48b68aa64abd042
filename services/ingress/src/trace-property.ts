/** The W3C trace context in the user properties of an MQTT 5 message. */
import { encodeProperties, listProperties } from "@hawser/mqtt";

const NAME = "traceparent";

/** @returns null when there is none. Looks at the bytes first: most messages have none. */
export function traceparentIn(properties: Buffer | null): string | null {
  if (properties === null || !properties.includes(NAME)) return null;
  for (const { name, value } of listProperties(properties)) {
    if (name === "userProperty" && (value as readonly [string, string])[0] === NAME) return (value as readonly [string, string])[1];
  }
  return null;
}

/** The same block with this context at its end, in place of the one that came. */
export function withTraceparent(properties: Buffer | null, traceparent: string): Buffer {
  const own = { name: "userProperty", value: [NAME, traceparent] } as const;
  if (properties === null || !properties.includes(NAME)) {
    const appended = encodeProperties([own]);
    return properties === null ? appended : Buffer.concat([properties, appended]);
  }
  const others = listProperties(properties).filter(({ name, value }) => name !== "userProperty" || (value as readonly [string, string])[0] !== NAME);
  return encodeProperties([...others, own]);
}
