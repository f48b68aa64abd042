import { expect, it, vi } from "vitest";
import type { SendFailure, SendOutcome } from "../src/lane-port.ts";
import { type OutgoingMessage, SendEncoder } from "../src/send-encoder.ts";
import { codes } from "../src/status.ts";
import { type LaneHost, type RouteAnswer, TopicLane } from "../src/topic-lane.ts";

const missing = { code: codes.topicNotFound, reason: "no route" };
const found: RouteAnswer = { kind: "route", route: { status: { code: codes.ok, reason: "" }, acceptsNormal: true, acceptsFifo: false, writeQueues: 4 } };
const notFound: RouteAnswer = { kind: "route", route: { status: missing, acceptsNormal: false, acceptsFifo: false, writeQueues: 0 } };
const message: OutgoingMessage = { topic: "t", body: Buffer.from("x"), properties: [], tag: "", keys: [], group: "" };

function lane(route: () => RouteAnswer, call: () => SendFailure | null, storedSince: (atMs: number) => boolean = () => true): TopicLane<OutgoingMessage> {
  const host: LaneHost<OutgoingMessage> = {
    encoder: new SendEncoder(),
    batchMessages: 128,
    maxBatchMessages: 512,
    maxBatchBytes: 1_000_000,
    sendsInFlight: 4,
    fifoInFlight: 4,
    routeRetryMs: 3000,
    parkMs: 60_000,
    now: Date.now,
    storedSince,
    maySend: () => true,
    askRoute: (_, done) => done(route()),
    call: (_, __, done) => done(call()),
    bodyOf: ({ body }) => body,
    refusedAlone: () => false,
    parked: () => undefined,
    opened: () => undefined,
  };
  return new TopicLane("t", host);
}

function pushed(to: TopicLane<OutgoingMessage>): SendOutcome[] {
  const outcomes: SendOutcome[] = [];
  to.push({ message, done: (outcome) => outcomes.push(outcome) });
  to.pump();
  return outcomes;
}

it("keeps what waits for a topic that was there before RocketMQ started again, and sends it when the topic is back", () => {
  vi.useFakeTimers();
  try {
    let there = true;
    const to = lane(() => (there ? found : notFound), () => (there ? null : { kind: "topic", status: missing }));
    expect(pushed(to)).toEqual([{ kind: "sent" }]);
    there = false;
    const waiting = pushed(to);
    expect(to.parked).toBe(true);
    to.makeRoom();
    vi.advanceTimersByTime(30_000);
    expect(waiting).toEqual([]);
    there = true;
    vi.advanceTimersByTime(3000);
    expect(waiting).toEqual([{ kind: "sent" }]);
    to.close();
  } finally {
    vi.useRealTimers();
  }
});

it("gives back what waits for a topic it has never seen when room is needed", () => {
  const to = lane(() => notFound, () => null);
  const waiting = pushed(to);
  to.makeRoom();
  expect(waiting).toEqual([{ kind: "refused", code: codes.topicNotFound, reason: "no route" }]);
  to.close();
});

it("keeps what waits while nothing proves that RocketMQ serves: a broker may be away behind its proxy", () => {
  vi.useFakeTimers();
  try {
    let storedAtMs = 0;
    const to = lane(() => notFound, () => null, (atMs) => storedAtMs > atMs);
    const waiting = pushed(to);
    vi.advanceTimersByTime(300_000);
    expect(waiting).toEqual([]);
    storedAtMs = Date.now();
    vi.advanceTimersByTime(3000);
    expect(waiting).toEqual([{ kind: "refused", code: codes.topicNotFound, reason: "no route" }]);
    to.close();
  } finally {
    vi.useRealTimers();
  }
});

it("gives up a topic that has been missing for ten times as long, proof or not", () => {
  vi.useFakeTimers();
  try {
    const to = lane(() => notFound, () => null, () => false);
    const waiting = pushed(to);
    vi.advanceTimersByTime(601_000 + 3000);
    expect(waiting).toHaveLength(1);
    to.close();
  } finally {
    vi.useRealTimers();
  }
});
