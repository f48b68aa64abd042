/**
 * Who subscribes to what in this process. Filters without wildcards are looked up whole in a map;
 * the others form a tree by levels. Each filter has a map subscriber -> options, so that thousands
 * of subscribers of one topic come and go one by one at constant cost.
 *
 * A filter that begins with a wildcard matches no topic that begins with `$` [MQTT-4.7.2-1].
 * `$share/...` has no meaning here: the caller gives the inner filter.
 */

interface Level<S, O> {
  children: Map<string, Level<S, O>> | null;
  plus: Level<S, O> | null;
  /** Subscribers of the filter that ends at this level. */
  here: Map<S, O> | null;
  /** Subscribers of the filter that ends with `#` below this level. */
  hash: Map<S, O> | null;
}

function newLevel<S, O>(): Level<S, O> {
  return { children: null, plus: null, here: null, hash: null };
}

function isEmpty<S, O>(level: Level<S, O>): boolean {
  return level.children === null && level.plus === null && level.here === null && level.hash === null;
}

function hasWildcard(filter: string): boolean {
  return filter.includes("+") || filter.includes("#");
}

export class TopicIndex<S, O> {
  readonly #exact = new Map<string, Map<S, O>>();
  readonly #root: Level<S, O> = newLevel();
  #wildcardFilters = 0;
  /** Subscriber maps found by the current match; reused. A nested match takes its own. */
  #found: Map<S, O>[] | null = [];

  /** Distinct filters held. */
  get filterCount(): number {
    return this.#exact.size + this.#wildcardFilters;
  }

  /**
   * @param filter checked by the caller
   * @returns `first`: nobody held this filter before; `replaced`: the subscriber did, its options are new
   */
  add(filter: string, subscriber: S, options: O): "first" | "added" | "replaced" {
    let subscribers: Map<S, O>;
    let first = false;
    if (hasWildcard(filter)) {
      const levels = filter.split("/");
      const isHash = levels.at(-1) === "#";
      if (isHash) levels.pop();
      let level = this.#root;
      for (const name of levels) level = name === "+" ? (level.plus ??= newLevel()) : childOf(level, name);
      const existing = isHash ? level.hash : level.here;
      subscribers = existing ?? new Map<S, O>();
      if (!existing) {
        first = true;
        this.#wildcardFilters++;
        if (isHash) level.hash = subscribers;
        else level.here = subscribers;
      }
    } else {
      const existing = this.#exact.get(filter);
      subscribers = existing ?? new Map<S, O>();
      if (!existing) {
        first = true;
        this.#exact.set(filter, subscribers);
      }
    }
    const replaced = subscribers.has(subscriber);
    subscribers.set(subscriber, options);
    return first ? "first" : replaced ? "replaced" : "added";
  }

  /** @returns `last`: nobody holds this filter any more */
  remove(filter: string, subscriber: S): "absent" | "removed" | "last" {
    if (!hasWildcard(filter)) {
      const subscribers = this.#exact.get(filter);
      if (!subscribers?.delete(subscriber)) return "absent";
      if (subscribers.size > 0) return "removed";
      this.#exact.delete(filter);
      return "last";
    }
    const levels = filter.split("/");
    const isHash = levels.at(-1) === "#";
    if (isHash) levels.pop();
    const path: Level<S, O>[] = [this.#root];
    for (const name of levels) {
      const parent = path[path.length - 1]!;
      const next = name === "+" ? parent.plus : parent.children?.get(name);
      if (!next) return "absent";
      path.push(next);
    }
    const last = path[path.length - 1]!;
    const subscribers = isHash ? last.hash : last.here;
    if (!subscribers?.delete(subscriber)) return "absent";
    if (subscribers.size > 0) return "removed";
    if (isHash) last.hash = null;
    else last.here = null;
    this.#wildcardFilters--;
    for (let depth = levels.length; depth > 0 && isEmpty(path[depth]!); depth--) {
      const parent = path[depth - 1]!;
      const name = levels[depth - 1]!;
      if (name === "+") {
        parent.plus = null;
      } else {
        parent.children!.delete(name);
        if (parent.children!.size === 0) parent.children = null;
      }
    }
    return "last";
  }

  /** Subscribers and options of exactly this filter. */
  subscribersOf(filter: string): ReadonlyMap<S, O> | undefined {
    if (!hasWildcard(filter)) return this.#exact.get(filter);
    const levels = filter.split("/");
    const isHash = levels.at(-1) === "#";
    if (isHash) levels.pop();
    let level: Level<S, O> | null | undefined = this.#root;
    for (const name of levels) level = name === "+" ? level?.plus : level?.children?.get(name);
    return (isHash ? level?.hash : level?.here) ?? undefined;
  }

  /** Once per matching (subscriber, filter). The visitor may add and remove subscribers. */
  match(topic: string, visit: (subscriber: S, options: O) => void): void {
    const found = this.#find(topic);
    for (let i = 0; i < found.length; i++) for (const [subscriber, options] of found[i]!) visit(subscriber, options);
    this.#release(found);
  }

  /**
   * Once per subscriber, options of its overlapping filters merged pairwise
   * (highest QoS, all Subscription Identifiers: what that means is the caller's).
   */
  matchMerged(topic: string, merge: (a: O, b: O) => O, visit: (subscriber: S, options: O) => void): void {
    const found = this.#find(topic);
    if (found.length === 1) {
      for (const [subscriber, options] of found[0]!) visit(subscriber, options);
    } else if (found.length > 1) {
      const merged = new Map<S, O>(found[0]!);
      for (let i = 1; i < found.length; i++) {
        for (const [subscriber, options] of found[i]!) {
          merged.set(subscriber, merged.has(subscriber) ? merge(merged.get(subscriber)!, options) : options);
        }
      }
      for (const [subscriber, options] of merged) visit(subscriber, options);
    }
    this.#release(found);
  }

  hasMatch(topic: string): boolean {
    const found = this.#find(topic);
    const any = found.length > 0;
    this.#release(found);
    return any;
  }

  #release(found: Map<S, O>[]): void {
    found.length = 0;
    this.#found = found;
  }

  #find(topic: string): Map<S, O>[] {
    const found = this.#found ?? [];
    this.#found = null;
    const exact = this.#exact.get(topic);
    if (exact) found.push(exact);
    if (this.#wildcardFilters > 0) this.#walk(topic, found);
    return found;
  }

  /** Breadth first and without recursion: a topic may have as many levels as it has bytes. */
  #walk(topic: string, found: Map<S, O>[]): void {
    let front: Level<S, O>[] = [this.#root];
    let next: Level<S, O>[] = [];
    const isDollar = topic.charCodeAt(0) === 0x24;
    for (let start = 0; front.length > 0; ) {
      const slash = topic.indexOf("/", start);
      const name = slash < 0 ? topic.slice(start) : topic.slice(start, slash);
      const wildcards = !isDollar || start > 0;
      for (let i = 0; i < front.length; i++) {
        const level = front[i]!;
        if (level.hash !== null && wildcards) found.push(level.hash);
        const child = level.children?.get(name);
        if (child) next.push(child);
        if (level.plus !== null && wildcards) next.push(level.plus);
      }
      if (slash < 0) {
        for (let i = 0; i < next.length; i++) {
          const level = next[i]!;
          if (level.here !== null) found.push(level.here);
          // `a/#` matches `a` too
          if (level.hash !== null) found.push(level.hash);
        }
        return;
      }
      start = slash + 1;
      const spare = front;
      front = next;
      next = spare;
      next.length = 0;
    }
  }
}

function childOf<S, O>(level: Level<S, O>, name: string): Level<S, O> {
  const children = (level.children ??= new Map());
  let child = children.get(name);
  if (!child) {
    child = newLevel<S, O>();
    children.set(name, child);
  }
  return child;
}
