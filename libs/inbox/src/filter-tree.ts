/**
 * Filters of many owners, found by topic: a tree of levels. `+` and `#` are branches of their own,
 * so a lookup visits at most two branches per level and the `#` of each level on its way. Topics
 * that begin with `$` are not found by a wildcard at the first level [MQTT-4.7.2-1].
 */
interface Branch<K, V> {
  readonly children: Map<string, Branch<K, V>>;
  plus: Branch<K, V> | null;
  /** Of the filters that end here. */
  readonly values: Map<K, V>;
  /** Of the filters that end here with `#`, which also matches the level above [MQTT-4.7.1-2]. */
  readonly hash: Map<K, V>;
}

function branch<K, V>(): Branch<K, V> {
  return { children: new Map(), plus: null, values: new Map(), hash: new Map() };
}

export class FilterTree<K, V> {
  readonly #root: Branch<K, V> = branch();

  /** A second value of the same owner for the same filter replaces the first. */
  set(filter: string, owner: K, value: V): void {
    const levels = filter.split("/");
    const hash = levels.at(-1) === "#";
    if (hash) levels.pop();
    let at = this.#root;
    for (const level of levels) {
      if (level === "+") at = at.plus ??= branch();
      else {
        let next = at.children.get(level);
        if (!next) at.children.set(level, (next = branch()));
        at = next;
      }
    }
    (hash ? at.hash : at.values).set(owner, value);
  }

  /** Branches nothing is left of are removed. */
  delete(filter: string, owner: K): void {
    const levels = filter.split("/");
    const hash = levels.at(-1) === "#";
    if (hash) levels.pop();
    this.#delete(this.#root, levels, 0, hash, owner);
  }

  #delete(at: Branch<K, V>, levels: readonly string[], depth: number, hash: boolean, owner: K): boolean {
    if (depth === levels.length) (hash ? at.hash : at.values).delete(owner);
    else {
      const level = levels[depth]!;
      const next = level === "+" ? at.plus : at.children.get(level);
      if (next && this.#delete(next, levels, depth + 1, hash, owner)) {
        if (level === "+") at.plus = null;
        else at.children.delete(level);
      }
    }
    return at.children.size === 0 && at.plus === null && at.values.size === 0 && at.hash.size === 0;
  }

  /** Calls `visit` for every filter that matches: an owner with several such filters is visited for each. */
  match(topic: string, visit: (owner: K, value: V) => void): void {
    this.#match(this.#root, topic, 0, visit, topic.charCodeAt(0) === 0x24);
  }

  #match(at: Branch<K, V>, topic: string, from: number, visit: (owner: K, value: V) => void, literal: boolean): void {
    if (!literal) for (const [owner, value] of at.hash) visit(owner, value);
    if (from > topic.length) {
      for (const [owner, value] of at.values) visit(owner, value);
      return;
    }
    const slash = topic.indexOf("/", from);
    const end = slash < 0 ? topic.length : slash;
    const child = at.children.size > 0 ? at.children.get(topic.slice(from, end)) : undefined;
    if (child) this.#match(child, topic, end + 1, visit, false);
    if (at.plus && !literal) this.#match(at.plus, topic, end + 1, visit, false);
  }
}
