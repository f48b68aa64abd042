/**
 * MQTT topic names and filters: syntax, lengths, parents, P2P, matching. Texts are already decoded
 * UTF-8; a topic is `parent/sub/...`, and `parent/p2p/<Client ID>` is a message to one client,
 * whose last level does not count for the length.
 */
import type { ErrorCode } from "@hawser/errors";

export const TOPIC_MAX_LENGTH = 64;
/** [MQTT-4.7.3-3] */
const MQTT_MAX_BYTES = 65_535;
const P2P = "/p2p/";

export type TopicProblem = "empty" | "nul" | "surrogate" | "wildcard" | "too-long" | "p2p" | "share";

export interface TopicOptions {
  /** Characters, the Client ID level of a P2P topic not counted; default 64. */
  readonly maxLength?: number;
}

/** [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.3-1..3] @returns null when the name is good */
export function checkTopicName(topic: string, options: TopicOptions = {}): TopicProblem | null {
  const problem = checkText(topic);
  if (problem) return problem;
  if (topic.includes("+") || topic.includes("#")) return "wildcard";
  const target = p2pTarget(topic);
  if (target === null && isP2pTopic(topic)) return "p2p";
  return tooLong(target === null ? topic : topic.slice(0, -target.length), options.maxLength) ? "too-long" : null;
}

/** [MQTT-4.7.1-2] [MQTT-4.7.1-3]; `$share/<name>/<filter>` by MQTT 5 4.8.2. @returns null when the filter is good */
export function checkTopicFilter(filter: string, options: TopicOptions = {}): TopicProblem | null {
  const problem = checkText(filter);
  if (problem) return problem;
  const shared = parseShare(filter);
  if (shared === "malformed") return "share";
  const inner = shared ? shared.filter : filter;
  if (!wildcardsAreLevels(inner)) return "wildcard";
  const target = p2pTarget(inner);
  return tooLong(target === null ? inner : inner.slice(0, -target.length), options.maxLength) ? "too-long" : null;
}

function checkText(text: string): TopicProblem | null {
  if (text === "") return "empty";
  if (text.includes("\0")) return "nul";
  if (!text.isWellFormed()) return "surrogate";
  return text.length > MQTT_MAX_BYTES / 3 && Buffer.byteLength(text) > MQTT_MAX_BYTES ? "too-long" : null;
}

function tooLong(text: string, maxLength = TOPIC_MAX_LENGTH): boolean {
  if (text.length <= maxLength) return false;
  // code points: a pair of surrogates is one character
  let characters = 0;
  for (const _ of text) if (++characters > maxLength) return true;
  return false;
}

function wildcardsAreLevels(filter: string): boolean {
  for (let at = 0; at < filter.length; at++) {
    const char = filter.charCodeAt(at);
    if (char !== 0x2b && char !== 0x23) continue;
    if (at > 0 && filter.charCodeAt(at - 1) !== 0x2f) return false;
    if (char === 0x23 ? at !== filter.length - 1 : at < filter.length - 1 && filter.charCodeAt(at + 1) !== 0x2f) return false;
  }
  return true;
}

export function topicProblemCode(problem: TopicProblem, of: "name" | "filter"): ErrorCode {
  if (problem === "too-long") return of === "name" ? "HAWSER_E_TOPIC_TOO_LONG" : "HAWSER_E_TOPIC_FILTER";
  return of === "name" ? "HAWSER_E_TOPIC_NAME" : "HAWSER_E_TOPIC_FILTER";
}

/** The first level. */
export function parentOf(topic: string): string {
  const slash = topic.indexOf("/");
  return slash < 0 ? topic : topic.slice(0, slash);
}

/** What follows the parent, with its leading slash; empty for a bare parent: the product's `mqttSecondTopic`. */
export function secondTopicOf(topic: string): string {
  const slash = topic.indexOf("/");
  return slash < 0 ? "" : topic.slice(slash);
}

/** Whether the second level is `p2p`: such topics are never live topics. */
export function isP2pTopic(topic: string): boolean {
  const slash = topic.indexOf("/");
  return slash >= 0 && topic.startsWith("p2p", slash + 1) && (topic.length === slash + 4 || topic.charCodeAt(slash + 4) === 0x2f);
}

/** The Client ID of `parent/p2p/<Client ID>`, else null. */
export function p2pTarget(topic: string): string | null {
  const slash = topic.indexOf("/");
  if (slash < 0 || !topic.startsWith(P2P, slash)) return null;
  const target = topic.slice(slash + P2P.length);
  return target === "" || target.includes("/") ? null : target;
}

export function p2pTopic(parent: string, clientId: string): string {
  return parent + P2P + clientId;
}

/**
 * Whether a client may subscribe to this filter as far as P2P goes: nobody may name the P2P topics
 * of others, by wildcard or by name. Filters such as `parent/#` are allowed and find no P2P
 * message, because those never travel as live messages.
 */
export function p2pFilterAllowed(filter: string, clientId: string): boolean {
  const shared = parseShare(filter);
  const inner = shared && shared !== "malformed" ? shared.filter : filter;
  return !isP2pTopic(inner) || (shared === null && p2pTarget(inner) === clientId);
}

export interface SharedFilter {
  readonly share: string;
  readonly filter: string;
}

/** @returns null when the filter is not shared. [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
export function parseShare(filter: string): SharedFilter | "malformed" | null {
  if (!filter.startsWith("$share/") && filter !== "$share") return null;
  const end = filter.indexOf("/", 7);
  if (end <= 7 || end === filter.length - 1) return "malformed";
  const share = filter.slice(7, end);
  return /[+#]/.test(share) ? "malformed" : { share, filter: filter.slice(end + 1) };
}

/**
 * Whether a topic matches a filter (neither shared nor malformed). A wildcard at the first level
 * does not match topics that begin with `$` [MQTT-4.7.2-1].
 */
export function filterMatches(filter: string, topic: string): boolean {
  if (topic.charCodeAt(0) === 0x24 && (filter.charCodeAt(0) === 0x2b || filter.charCodeAt(0) === 0x23)) return false;
  let at = 0;
  let f = 0;
  for (;;) {
    if (filter.charCodeAt(f) === 0x23) return true;
    const topicEnd = levelEnd(topic, at);
    const filterEnd = levelEnd(filter, f);
    const single = filter.charCodeAt(f) === 0x2b;
    if (!single && (filterEnd - f !== topicEnd - at || filter.slice(f, filterEnd) !== topic.slice(at, topicEnd))) return false;
    const topicDone = topicEnd === topic.length;
    if (filterEnd === filter.length) return topicDone;
    // `a/#` also matches `a` [MQTT-4.7.1-2]
    if (topicDone) return filterEnd === filter.length - 2 && filter.charCodeAt(filterEnd + 1) === 0x23;
    at = topicEnd + 1;
    f = filterEnd + 1;
  }
}

function levelEnd(text: string, from: number): number {
  const slash = text.indexOf("/", from);
  return slash < 0 ? text.length : slash;
}
