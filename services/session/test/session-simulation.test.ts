/**
 * One Client ID on three ingresses under an owner that moves: messages to an ingress are late but
 * in order, ingresses crash, clients come and go. Whenever a connection is granted, no other one
 * that an ingress still serves is left; the newest granted wins; session present follows a model.
 */
import type { ConnectGrant, ConnectRequest } from "@hawser/wire";
import fc from "fast-check";
import { expect, it } from "vitest";
import { reduceSession, type SessionEffect, type SessionMessage, type SessionSettings } from "../src/reduce-session.ts";
import { decodeSessionRecord } from "../src/session-record.ts";
import { compareOrder, emptyState, parseSequence, type SessionState } from "../src/session-state.ts";

// the ingress of a simulated connection always answers in the end or dies: no deadline may pass
const settings: SessionSettings = { closeTimeoutMs: 1e9, takeoverLimit: 1e9, takeoverWindowMs: 1, takeoverDelayMs: 0, listGraceMs: 0 };

interface Socket {
  readonly request: ConnectRequest;
  sequence: string;
  open: boolean;
}
type Order = { kind: "grant"; socket: Socket; grant: ConnectGrant } | { kind: "close"; connection: number };

class World {
  nowMs = 1_000_000;
  epoch = 1;
  counter = 0;
  number = 0;
  record: Buffer | null = null;
  state: SessionState = emptyState("default", "a");
  readonly ingresses = new Map<string, { sockets: Map<number, Socket>; orders: Order[] }>();
  /** What a session is, told by the grants and ends the owner decided. */
  model: { expirySeconds: number; offlineSinceMs: number | null } | null = null;
  readonly presence: string[] = [];
  readonly problems: string[] = [];

  constructor() {
    for (const name of ["i0", "i1", "i2"]) this.ingresses.set(name, { sockets: new Map(), orders: [] });
  }

  tell(message: SessionMessage): void {
    const turn = reduceSession(this.state, message, this.nowMs, settings);
    for (const write of turn.writes) this.record = write.value;
    for (const effect of turn.effects) this.perform(effect);
  }

  perform(effect: SessionEffect): void {
    if (effect.kind === "grant") {
      const socket = effect.reply as Socket;
      for (const [name, { sockets }] of this.ingresses) {
        for (const other of sockets.values()) if (other.open && other.sequence !== "" && other !== socket) this.problems.push(`granted while ${other.sequence} is served by ${name}`);
      }
      const { cleanStart, sessionExpirySeconds } = socket.request;
      const expired = this.model?.offlineSinceMs != null && this.nowMs >= this.model.offlineSinceMs + this.model.expirySeconds * 1000;
      const present = this.model !== null && !cleanStart && !expired;
      if (effect.grant.sessionPresent !== present) this.problems.push(`session present ${effect.grant.sessionPresent}, the model says ${present}`);
      this.model = { expirySeconds: sessionExpirySeconds, offlineSinceMs: null };
      this.ingresses.get(socket.request.ingress)?.orders.push({ kind: "grant", socket, grant: effect.grant });
    } else if (effect.kind === "order-close") {
      const ingress = this.ingresses.get(effect.connection.ingress);
      ingress?.orders.push({ kind: "close", connection: effect.connection.connection });
    } else if (effect.kind === "offline") {
      if (this.model) this.model = this.model.expirySeconds > 0 ? { ...this.model, offlineSinceMs: this.nowMs } : null;
    } else if (effect.kind === "presence") this.presence.push(`${effect.type} ${effect.channelId}`);
  }

  connect(ingress: string, cleanStart: boolean, sessionExpirySeconds: number): void {
    const held = this.ingresses.get(ingress);
    if (!held) return;
    const connection = ++this.number;
    const request: ConnectRequest = { instance: "default", clientId: "a", ingress, connection, level: 5, cleanStart, sessionExpirySeconds, clientIp: "", channelId: `c${connection}` };
    const socket: Socket = { request, sequence: "", open: true };
    held.sockets.set(connection, socket);
    this.tell({ kind: "connect", request, order: { epoch: this.epoch, counter: ++this.counter }, reply: socket });
  }

  /** The ingress takes its next order. */
  deliver(name: string): boolean {
    const ingress = this.ingresses.get(name);
    const order = ingress?.orders.shift();
    if (!ingress || !order) return false;
    if (order.kind === "grant") {
      order.socket.sequence = order.grant.sequence;
      if (!order.socket.open) this.end(name, order.socket);
    } else {
      const socket = ingress.sockets.get(order.connection);
      if (socket) this.end(name, socket);
      else this.goneIfCurrent(name, order.connection);
    }
    return true;
  }

  goneIfCurrent(name: string, connection: number): void {
    const current = this.state.connection;
    if (current?.ingress === name && current.connection === connection) this.tell({ kind: "gone", sequence: current.sequence });
  }

  end(name: string, socket: Socket, goodbye = false): void {
    socket.open = false;
    if (socket.sequence === "") return;
    this.ingresses.get(name)?.sockets.delete(socket.request.connection);
    const { channelId, clientIp } = socket.request;
    this.tell({ kind: "closed", notice: { instance: "default", clientId: "a", sequence: socket.sequence, goodbye, channelId, clientIp }, ownEpoch: this.epoch, reply: null });
  }

  crash(name: string): void {
    this.ingresses.delete(name);
    this.tell({ kind: "ingress-dead", ingress: name });
    this.ingresses.set(`${name}'`, { sockets: new Map(), orders: [] });
  }

  /** Another owner: what it knows is the record and what the ingresses list. */
  move(): void {
    while ([...this.ingresses.keys()].some((name) => this.deliver(name)));
    const ungranted = [...this.ingresses.values()].flatMap(({ sockets }) => [...sockets.values()].filter((socket) => socket.open && socket.sequence === ""));
    this.state = this.record ? decodeSessionRecord("default", "a", this.record) : emptyState("default", "a");
    this.epoch++;
    this.counter = 0;
    for (const [ingress, { sockets }] of this.ingresses) {
      for (const socket of sockets.values()) {
        if (!socket.open || socket.sequence === "") continue;
        const { request, sequence } = socket;
        this.tell({ kind: "attach", ingress, listed: { ...request, sequence }, ownEpoch: this.epoch, buried: false, reply: null });
      }
    }
    this.tell({ kind: "all-listed" });
    for (const socket of ungranted) this.tell({ kind: "connect", request: socket.request, order: { epoch: this.epoch, counter: ++this.counter }, reply: socket });
  }
}

it("at most one connection of a Client ID is served, the newest, and session present is exact", () => {
  const name = fc.nat(5);
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("connect" as const), name, clean: fc.boolean(), expiry: fc.constantFrom(0, 10, 0xffff_ffff) }) },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("deliver" as const), name }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("leave" as const), name, goodbye: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), name }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("move" as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("wait" as const), seconds: fc.constantFrom(1, 9, 11) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new World();
      const pick = (at: number): string => [...world.ingresses.keys()][at % world.ingresses.size]!;
      for (const each of steps) {
        if (each.kind === "connect") world.connect(pick(each.name), each.clean, each.expiry);
        else if (each.kind === "deliver") world.deliver(pick(each.name));
        else if (each.kind === "crash") world.crash(pick(each.name));
        else if (each.kind === "move") world.move();
        else if (each.kind === "wait") {
          world.nowMs += each.seconds * 1000;
          world.tell({ kind: "tick" });
        } else {
          const ingress = pick(each.name);
          const socket = [...world.ingresses.get(ingress)!.sockets.values()].find(({ open }) => open);
          if (socket) world.end(ingress, socket, each.goodbye);
        }
      }
      while ([...world.ingresses.keys()].some((ingress) => world.deliver(ingress)));
      expect(world.problems).toEqual([]);
      const served = [...world.ingresses.values()].flatMap(({ sockets }) => [...sockets.values()].filter(({ open, sequence }) => open && sequence !== ""));
      expect(served.length).toBeLessThanOrEqual(1);
      expect(world.state.connection?.sequence ?? null).toBe(served[0]?.sequence ?? null);
      if (served[0]) expect(compareOrder(parseSequence(served[0].sequence)!, world.state.last)).toBe(0);
      for (const channel of new Set(world.presence.map((line) => line.split(" ")[1]!))) {
        const events = world.presence.filter((line) => line.endsWith(` ${channel}`)).map((line) => line.split(" ")[0]!);
        expect(["connect", "connect tcpclean", "connect disconnect tcpclean"]).toContain(events.join(" "));
      }
    }),
    { numRuns: 1000 },
  );
});
