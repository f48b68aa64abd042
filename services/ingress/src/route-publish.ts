/**
 * Where a publish goes: pure, and cached per topic, because clients publish to the same topics
 * again and again. The rules are those of the product the applications come from: the parent topic
 * must exist, parent and sub-topics have a length limit that the Client ID level of a P2P topic
 * does not count towards, and in the uplink of a gateway the level after the parent is its own
 * Device ID.
 */
import type { CompiledInstance } from "@hawser/catalog";
import { checkTopicName, p2pTarget, parentOf } from "@hawser/rules";
import { topicSubject, type DestinationSet } from "@hawser/wire";
import { reasonCodes } from "@hawser/mqtt";

export type Route =
  | { readonly kind: "ordinary"; readonly subject: string; readonly qos0: DestinationSet | null; readonly acknowledged: DestinationSet | null }
  | { readonly kind: "p2p"; readonly target: string; readonly destinations: DestinationSet | null }
  | { readonly kind: "actor"; readonly service: string; readonly device: string; readonly liveSubject: string | null }
  /** `$SYS/enableOrderMsg`: accepted, nothing to do. */
  | { readonly kind: "ignored" }
  | { readonly kind: "refused"; readonly code: number; readonly reason: string };

export interface TopicLimits {
  /** Characters of parent and sub-topics together. */
  readonly maxTopicLength: number;
}

const IGNORED_TOPICS = new Set(["$SYS/enableOrderMsg"]);
const PLAIN_MAX_TOPIC_LENGTH = 65_535;

export function routePublish(instance: CompiledInstance, topic: string, limits: TopicLimits): Route {
  if (IGNORED_TOPICS.has(topic)) return { kind: "ignored" };
  if (topic.startsWith("$")) return { kind: "refused", code: reasonCodes.topicNameInvalid, reason: "reserved-topic" };
  const maxLength = instance.profile === "plain" ? PLAIN_MAX_TOPIC_LENGTH : limits.maxTopicLength;
  const problem = checkTopicName(topic, { maxLength });
  // in the plain profile `a/p2p` is a topic like any other
  if (problem !== null && !(problem === "p2p" && instance.profile === "plain")) {
    return { kind: "refused", code: reasonCodes.topicNameInvalid, reason: `topic-${problem}` };
  }
  const parent = parentOf(topic);
  // any MQTT client may use the plain profile: what the catalogue does not name means nothing special
  const target = instance.parents.includes(parent) ? p2pTarget(topic) : null;
  if (!instance.hasParent(parent)) return { kind: "refused", code: reasonCodes.topicNameInvalid, reason: "unknown-parent-topic" };
  if (target !== null) return { kind: "p2p", target, destinations: instance.destinations(parent, true, true) };
  const actor = instance.actorService(parent);
  const subject = topicSubject(instance.id, topic);
  if (actor !== null) {
    return { kind: "actor", service: actor.service, device: topic.split("/")[1] ?? "", liveSubject: actor.live ? subject : null };
  }
  return {
    kind: "ordinary",
    subject,
    qos0: instance.destinations(parent, false, false),
    acknowledged: instance.destinations(parent, true, false),
  };
}

const CACHE_MAX_TOPICS = 10_000;

/** routePublish, remembered per instance until the catalogue or the cache's bound replaces it. */
export class RouteCache {
  readonly #limits: TopicLimits;
  readonly #routes = new WeakMap<CompiledInstance, Map<string, Route>>();

  constructor(limits: TopicLimits) {
    this.#limits = limits;
  }

  route(instance: CompiledInstance, topic: string): Route {
    let routes = this.#routes.get(instance);
    if (!routes) this.#routes.set(instance, (routes = new Map()));
    let route = routes.get(topic);
    if (!route) {
      if (routes.size >= CACHE_MAX_TOPICS) routes.clear();
      routes.set(topic, (route = routePublish(instance, topic, this.#limits)));
    }
    return route;
  }
}
