/**
 * The loop guard: a message that Hawser took from MQTT carries where it was sent to and from which
 * parent. An inbound rule that would bring it back onto the same pair drops it, counted; any other
 * way is not a loop.
 */
export function originMark(cluster: string, topic: string, parent: string): string {
  return [cluster, topic, parent].map(encodeURIComponent).join("/");
}

export function isLoop(mark: string | null, cluster: string, topic: string, parent: string): boolean {
  return mark !== null && mark === originMark(cluster, topic, parent);
}
