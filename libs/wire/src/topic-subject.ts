/**
 * MQTT topics and filters as NATS subjects.
 *
 * A topic `a/b/c` of an instance travels on `m.<instance>.a.b.c`. A level becomes one token:
 * letters, digits, `-`, `_`, `@`, `=`, `:`, `,` stand for themselves, every other byte of its
 * UTF-8 is `%` and two hex digits, and the empty level is `%` alone (no other token is).
 *
 * A filter becomes the subjects whose interest it needs: `+` is `*`, a final `#` is `>`, and
 * `a/#` also needs `a` itself [MQTT-4.7.1-2]. NATS matches at most too much (`+` at the first
 * level also finds `$SYS`); the exact match is the receiver's own [MQTT-4.7.2-1].
 *
 * Long topics: a subject holds at most 512 bytes of tokens. A topic beyond that travels on
 * `m.<instance>.%%`, and so every filter that could match such a topic (one with a wildcard, or
 * one that is itself as long) also needs that subject. See docs/adr/0004-topics-as-subjects.md.
 */
const PLAIN = /^[0-9A-Za-z_@=:,-]+$/;
const LONG_TOPIC = "%%";
/** Bytes of tokens a subject carries at most. */
export const SUBJECT_TOKENS_MAX_BYTES = 512;

/** One topic level, or any other text, as one NATS token. */
export function encodeToken(text: string): string {
  if (text === "") return "%";
  if (PLAIN.test(text)) return text;
  let token = "";
  for (const byte of Buffer.from(text)) {
    const char = String.fromCharCode(byte);
    token += byte < 0x80 && PLAIN.test(char) ? char : `%${byte.toString(16).padStart(2, "0")}`;
  }
  return token;
}

/** @throws URIError when the token was not made by encodeToken */
export function decodeToken(token: string): string {
  return token === "%" ? "" : decodeURIComponent(token);
}

/** The subject a message of this topic is published on. The topic holds no wildcard. */
export function topicSubject(instance: string, topic: string): string {
  const tokens = encodeLevels(topic.split("/"));
  return `m.${encodeToken(instance)}.${tokens.length > SUBJECT_TOKENS_MAX_BYTES ? LONG_TOPIC : tokens}`;
}

/** The subjects whose interest this filter needs: 1 to 3 of them. The filter is valid, without `$share`. */
export function filterSubjects(instance: string, filter: string): string[] {
  const prefix = `m.${encodeToken(instance)}.`;
  const levels = filter.split("/");
  const multi = levels.at(-1) === "#";
  if (multi) levels.pop();
  const wildcard = multi || levels.includes("+");
  const tokens = encodeLevels(levels);
  if (tokens.length > SUBJECT_TOKENS_MAX_BYTES) return [prefix + LONG_TOPIC];
  const subjects: string[] = [];
  if (levels.length > 0) subjects.push(prefix + tokens);
  if (multi) subjects.push(levels.length > 0 ? `${prefix}${tokens}.>` : `${prefix}>`);
  // `#` alone, as `m.<instance>.>`, already covers the subject of the long topics
  if (wildcard && levels.length > 0 && !(levels.length === 1 && levels[0] === "+")) subjects.push(prefix + LONG_TOPIC);
  return subjects;
}

function encodeLevels(levels: readonly string[]): string {
  return levels.map((level) => (level === "+" ? "*" : encodeToken(level))).join(".");
}
